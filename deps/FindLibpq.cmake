# Libpq from the system, by pkg-config, at least 14. Defines the target Libpq::Libpq.
find_package(PkgConfig QUIET REQUIRED)
pkg_check_modules(Libpq_PC QUIET IMPORTED_TARGET libpq)
set(Libpq_VERSION "${Libpq_PC_VERSION}")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libpq
    REQUIRED_VARS Libpq_PC_FOUND
    VERSION_VAR Libpq_VERSION
    REASON_FAILURE_MESSAGE "install libpq-dev (deps/README.md)")
if(Libpq_FOUND AND NOT TARGET Libpq::Libpq)
    add_library(Libpq::Libpq ALIAS PkgConfig::Libpq_PC)
endif()

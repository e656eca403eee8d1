# Hiredis from the system, by pkg-config, at least 0.14. Defines the target Hiredis::Hiredis.
find_package(PkgConfig QUIET REQUIRED)
pkg_check_modules(Hiredis_PC QUIET IMPORTED_TARGET hiredis)
set(Hiredis_VERSION "${Hiredis_PC_VERSION}")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Hiredis
    REQUIRED_VARS Hiredis_PC_FOUND
    VERSION_VAR Hiredis_VERSION
    REASON_FAILURE_MESSAGE "install libhiredis-dev (deps/README.md)")
if(Hiredis_FOUND AND NOT TARGET Hiredis::Hiredis)
    add_library(Hiredis::Hiredis ALIAS PkgConfig::Hiredis_PC)
endif()

# Jansson from the system, by pkg-config, at least 2.13. Defines the target Jansson::Jansson.
find_package(PkgConfig QUIET REQUIRED)
pkg_check_modules(Jansson_PC QUIET IMPORTED_TARGET jansson)
set(Jansson_VERSION "${Jansson_PC_VERSION}")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Jansson
    REQUIRED_VARS Jansson_PC_FOUND
    VERSION_VAR Jansson_VERSION
    REASON_FAILURE_MESSAGE "install libjansson-dev (deps/README.md)")
if(Jansson_FOUND AND NOT TARGET Jansson::Jansson)
    add_library(Jansson::Jansson ALIAS PkgConfig::Jansson_PC)
endif()

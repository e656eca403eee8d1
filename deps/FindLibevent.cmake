# Libevent from the system, by pkg-config, at least 2.1.12. Defines the target Libevent::Libevent.
find_package(PkgConfig QUIET REQUIRED)
pkg_check_modules(Libevent_PC QUIET IMPORTED_TARGET libevent_core)
set(Libevent_VERSION "${Libevent_PC_VERSION}")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libevent
    REQUIRED_VARS Libevent_PC_FOUND
    VERSION_VAR Libevent_VERSION
    REASON_FAILURE_MESSAGE "install libevent-dev (deps/README.md)")
if(Libevent_FOUND AND NOT TARGET Libevent::Libevent)
    add_library(Libevent::Libevent ALIAS PkgConfig::Libevent_PC)
endif()

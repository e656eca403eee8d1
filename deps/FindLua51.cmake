# Lua 5.1 with its libraries cjson and bit, from the system, by pkg-config. Defines the targets
# Lua51::Lua, Lua51::Cjson and Lua51::Bitop. The two libraries are linked like any other: nothing is
# looked for when the server runs.
find_package(PkgConfig QUIET REQUIRED)
foreach(part Lua Cjson Bitop)
    set(module lua5.1)
    if(NOT part STREQUAL "Lua")
        string(TOLOWER ${part} suffix)
        string(APPEND module -${suffix})
    endif()
    pkg_check_modules(Lua51_${part} QUIET IMPORTED_TARGET ${module})
endforeach()
set(Lua51_VERSION "${Lua51_Lua_VERSION}")
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Lua51
    REQUIRED_VARS Lua51_Lua_FOUND Lua51_Cjson_FOUND Lua51_Bitop_FOUND
    VERSION_VAR Lua51_VERSION
    REASON_FAILURE_MESSAGE
        "install liblua5.1-0-dev, lua-cjson-dev and lua-bitop-dev (deps/README.md)")
if(Lua51_FOUND AND NOT TARGET Lua51::Lua)
    foreach(part Lua Cjson Bitop)
        add_library(Lua51::${part} ALIAS PkgConfig::Lua51_${part})
    endforeach()
endif()

# The Debian package: cmake --preset package && cmake --build --preset package
#
# What is installed is what `cmake --install` installs under /usr and /etc, and what Debian's policy
# wants besides. Packages have no meaning under another prefix.
if(NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    return()
endif()

set(RESPGRES_MAINTAINER "The respgres developers <respgres@localhost>" CACHE STRING
    "who stands in the package as its maintainer")
set(here ${CMAKE_CURRENT_LIST_DIR})
set(made ${CMAKE_BINARY_DIR}/package)
set(doc ${CMAKE_INSTALL_DATADIR}/doc/respgres)

string(TIMESTAMP RESPGRES_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(${here}/changelog.Debian.in ${made}/changelog.Debian @ONLY)
configure_file(${CMAKE_SOURCE_DIR}/CHANGELOG.md ${made}/changelog COPYONLY)
foreach(name changelog.Debian changelog)
    execute_process(COMMAND gzip -9nkf ${made}/${name} COMMAND_ERROR_IS_FATAL ANY)
    install(FILES ${made}/${name}.gz DESTINATION ${doc})
endforeach()
install(FILES ${here}/copyright DESTINATION ${doc})
install(FILES ${here}/default DESTINATION /etc/default RENAME respgres PERMISSIONS OWNER_READ OWNER_WRITE)
install(FILES ${here}/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides
        RENAME respgres)

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME respgres)
set(CPACK_PACKAGE_VENDOR respgres)
set(CPACK_PACKAGE_CONTACT "${RESPGRES_MAINTAINER}")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
    GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION database)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "postgresql, redis-tools")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Redis protocol in front of PostgreSQL")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "respgres is a server that speaks the Redis protocol and keeps every
key as a row in PostgreSQL. A web framework's Redis session store points at it
and is not changed; the sessions are then durable, the same for every instance
of the application, and rows that can be read and changed in SQL.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${here}/conffiles ${here}/postinst ${here}/prerm ${here}/postrm)
include(CPack)

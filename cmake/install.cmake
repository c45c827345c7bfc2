# cmake --install: the command, the library with its public headers, and a package config, so that another project
# says find_package(cairn) and links cairn::cairn. The library is static: the config finds what it is made of.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(CAIRN_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/cairn)

install(TARGETS cairn EXPORT cairn-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(DIRECTORY include/cairn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development
        FILES_MATCHING PATTERN "*.h")
install(EXPORT cairn-targets NAMESPACE cairn:: DESTINATION ${CAIRN_CMAKE_DIR} COMPONENT development)

configure_package_config_file(cmake/cairn-config.cmake.in ${PROJECT_BINARY_DIR}/cairn-config.cmake
                              INSTALL_DESTINATION ${CAIRN_CMAKE_DIR})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cairn-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cairn-config.cmake ${PROJECT_BINARY_DIR}/cairn-config-version.cmake
        DESTINATION ${CAIRN_CMAKE_DIR} COMPONENT development)

# What the command says of itself, as manual pages and for shells. It is asked when it is built, so it must run here.
if(TARGET cairn_command)
  install(TARGETS cairn_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT command)
  set(said ${PROJECT_BINARY_DIR}/said)
  add_custom_command(
    OUTPUT ${said}/done
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${said}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${said}/man
    COMMAND cairn_command manual ${said}/man
    COMMAND cairn_command completion bash > ${said}/cairn.bash
    COMMAND cairn_command completion zsh > ${said}/_cairn
    COMMAND cairn_command completion fish > ${said}/cairn.fish
    COMMAND ${CMAKE_COMMAND} -E touch ${said}/done
    DEPENDS cairn_command
    VERBATIM)
  add_custom_target(cairn_said ALL DEPENDS ${said}/done)
  install(DIRECTORY ${said}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 COMPONENT command)
  install(FILES ${said}/cairn.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME cairn
          COMPONENT command)
  install(FILES ${said}/_cairn DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions COMPONENT command)
  install(FILES ${said}/cairn.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d COMPONENT command)

  # Where the command lies is known when it is installed: a package has another prefix than what was configured.
  install(CODE "set(CMAKE_INSTALL_FULL_BINDIR \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR})
                configure_file(${PROJECT_SOURCE_DIR}/packaging/cairn.service ${PROJECT_BINARY_DIR}/cairn.service @ONLY)"
          COMPONENT command)
  install(FILES ${PROJECT_BINARY_DIR}/cairn.service DESTINATION lib/systemd/system COMPONENT command)
  install(FILES docs/cairn.toml DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples COMPONENT command)
endif()

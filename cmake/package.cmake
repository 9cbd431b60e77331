# What `cmake --install` and the Debian package hold beside the binary and the scorer library:
# manual pages, shell completion, systemd units, schemas and example configurations.
#   cmake --build build/release --target package       makes build/release/freshet_VERSION_ARCH.deb
include(GNUInstallDirs)
set(share ${CMAKE_INSTALL_DATADIR}/freshet)
install(DIRECTORY schemas/ DESTINATION ${share}/schemas FILES_MATCHING PATTERN *.avsc)
install(DIRECTORY config/ DESTINATION ${share}/config FILES_MATCHING PATTERN *.yaml PATTERN *.json)
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN *.md)
install(FILES README.md LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Made from the tables of commands and options, by the binary itself.
set(made ${CMAKE_BINARY_DIR}/made)
file(MAKE_DIRECTORY ${made})
add_custom_command(TARGET freshet POST_BUILD
  COMMAND freshet options --format man > ${made}/freshet.1
  COMMAND freshet options --format man-config > ${made}/freshet.5
  COMMAND freshet options --format bash > ${made}/freshet.bash
  VERBATIM)
install(FILES ${made}/freshet.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${made}/freshet.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES ${made}/freshet.bash RENAME freshet
  DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)

# Units name the prefix that is installed to, which is known only then.
install(CODE "
  set(BIN \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  set(SHARE \"\${CMAKE_INSTALL_PREFIX}/${share}\")
  foreach(COMMAND run ingest train publish)
    configure_file(${CMAKE_SOURCE_DIR}/packaging/freshet.service.in ${made}/freshet-\${COMMAND}@.service @ONLY)
  endforeach()")
install(FILES ${made}/freshet-run@.service ${made}/freshet-ingest@.service ${made}/freshet-train@.service
  ${made}/freshet-publish@.service DESTINATION lib/systemd/system)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME freshet)
set(CPACK_PACKAGE_CONTACT "The Freshet maintainers <maintainers@freshet.invalid>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION misc)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "redis-server")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "continual learning of recommender models from event streams
 Reads impression, click and conversion events from Kafka or files, joins them into labelled examples in
 event time, learns multi-domain, multi-task models, and publishes fresh weights to Redis.")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/packaging/postinst)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)

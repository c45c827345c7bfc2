# `cpack -G DEB` in the build directory: two packages, the command with all that running it takes, and the library for
# programs that embed it. What they depend on is read from the programs themselves.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cairn)
set(CPACK_PACKAGE_VENDOR Cairn)
set(CPACK_PACKAGE_CONTACT "Cairn <cairn@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "keeps SQLite databases and container layers in object storage")
set(CPACK_PACKAGE_DESCRIPTION
    "Follows live SQLite databases commit by commit, and containers' writable directories sync by sync, into object
storage or a folder, and brings back any state that it published.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL command development)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION utils)

set(CPACK_DEBIAN_COMMAND_PACKAGE_NAME cairn)
set(CPACK_DEBIAN_COMMAND_PACKAGE_DEPENDS ca-certificates)
set(CPACK_DEBIAN_COMMAND_PACKAGE_SUGGESTS "zstd, sqlite3")
set(CPACK_DEBIAN_COMMAND_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/packaging/deb/postinst ${PROJECT_SOURCE_DIR}/packaging/deb/prerm
    ${PROJECT_SOURCE_DIR}/packaging/deb/postrm)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libcairn-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SHLIBDEPS OFF)  # a static library: who links it needs these
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
    "libsqlite3-dev, libzstd-dev, zlib1g-dev, libxxhash-dev, libfmt-dev, libcurl4-openssl-dev, libssl-dev, \
libpugixml-dev, pkgconf")
include(CPack)

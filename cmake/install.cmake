# What "cmake --install" gives: header, libraries, a CMake package, pkg-config files, the manual page, the example.
# The installed tree can be moved: nothing in it names the prefix.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rondo)
install(DIRECTORY include/rondo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS rondo rondo_static EXPORT rondo-targets)
install(EXPORT rondo-targets NAMESPACE rondo:: DESTINATION ${package_dir})
if(RONDO_HAS_CUDA)
  # A set of its own, so that only programs that link the CUDA backend statically need the toolkit.
  install(TARGETS rondo_cuda LIBRARY NAMELINK_SKIP)
  install(TARGETS rondo_cuda_static EXPORT rondo-cuda-targets)
  install(EXPORT rondo-cuda-targets NAMESPACE rondo:: DESTINATION ${package_dir})
endif()

configure_file(cmake/rondo-config.cmake.in rondo-config.cmake @ONLY)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rondo-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rondo-config.cmake ${PROJECT_BINARY_DIR}/rondo-config-version.cmake
  DESTINATION ${package_dir})

# pkg-config files say where they are (pcfiledir), and from there where the prefix is.
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH RONDO_PC_PREFIX /prefix/${pkgconfig_dir} /prefix)
string(REGEX REPLACE "/$" "" RONDO_PC_PREFIX "${RONDO_PC_PREFIX}")
set(pkgconfig_names rondo rondo-static)
if(RONDO_HAS_CUDA)
  list(APPEND pkgconfig_names rondo-cuda-static)
endif()
foreach(name ${pkgconfig_names})
  configure_file(cmake/${name}.pc.in ${name}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${pkgconfig_dir})
endforeach()

# The header is the manual; its page is made from it.
find_program(RONDO_AWK awk)
if(RONDO_AWK)
  add_custom_command(OUTPUT rondo.3
    COMMAND ${RONDO_AWK} -v version=${PROJECT_VERSION} -f ${PROJECT_SOURCE_DIR}/cmake/man.awk
      ${PROJECT_SOURCE_DIR}/include/rondo/rondo.h > rondo.3
    DEPENDS include/rondo/rondo.h cmake/man.awk VERBATIM)
  add_custom_target(docs ALL DEPENDS rondo.3)
  install(FILES ${PROJECT_BINARY_DIR}/rondo.3 DESTINATION ${CMAKE_INSTALL_MANDIR}/man3)
endif()

install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY examples DESTINATION ${CMAKE_INSTALL_DOCDIR} FILES_MATCHING PATTERN "*.c" PATTERN "*.h")

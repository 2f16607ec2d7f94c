# What goes where: headers, both libraries, pkg-config, the CMake package, programs, documents
# with the examples they speak of, and the scripts of cluster/ that need no sources.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/crew
  DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS crew crew_static EXPORT crew-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
# crew.pc finds its prefix from where it lies, so that an installed tree may be moved.
file(RELATIVE_PATH CREW_PC_TO_PREFIX
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" CREW_PC_TO_PREFIX "${CREW_PC_TO_PREFIX}")
cmake_path(APPEND CREW_PC_LIBDIR "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
cmake_path(APPEND CREW_PC_INCLUDEDIR "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
set(CREW_PC_DL "")
if(CMAKE_DL_LIBS)
  set(CREW_PC_DL "-l${CMAKE_DL_LIBS}")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/crew.pc.in ${PROJECT_BINARY_DIR}/crew.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/crew.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# The modules, with what a program needs that links one: that MPI's flags.
foreach(flavour openmpi mpich)
  if(NOT TARGET crew_mpi_${flavour})
    continue()
  endif()
  install(TARGETS crew_mpi_${flavour} EXPORT crew-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  get_target_property(includes crew_mpi_${flavour} INTERFACE_INCLUDE_DIRECTORIES)
  get_target_property(links crew_mpi_${flavour} INTERFACE_LINK_LIBRARIES)
  list(REMOVE_ITEM links crew)
  list(TRANSFORM includes PREPEND "-I")
  list(JOIN includes " " CREW_PC_MPI_CFLAGS)
  list(JOIN links " " CREW_PC_MPI_LIBS)
  set(CREW_PC_MPI_FLAVOUR ${flavour})
  configure_file(${PROJECT_SOURCE_DIR}/cmake/crew-mpi.pc.in
    ${PROJECT_BINARY_DIR}/crew-mpi-${flavour}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/crew-mpi-${flavour}.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/crew)
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/crewConfig.cmake.in
  ${PROJECT_BINARY_DIR}/crewConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/crewConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/crewConfig.cmake ${PROJECT_BINARY_DIR}/crewConfigVersion.cmake
  DESTINATION ${package_dir})
install(EXPORT crew-targets NAMESPACE crew:: FILE crew-targets.cmake DESTINATION ${package_dir})

if(TARGET crew_program)
  install(TARGETS crew_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

file(GLOB documents CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/*.md ${PROJECT_SOURCE_DIR}/LICENSE)
install(FILES ${documents} DESTINATION ${CMAKE_INSTALL_DOCDIR})
file(GLOB documents CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/*.md)
install(FILES ${documents} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
install(FILES ${PROJECT_SOURCE_DIR}/apps/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR}/apps)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/apps/examples DESTINATION ${CMAKE_INSTALL_DOCDIR}/apps
  FILES_MATCHING PATTERN "*.c")
install(DIRECTORY ${PROJECT_SOURCE_DIR}/cluster DESTINATION ${CMAKE_INSTALL_DATADIR}/crew
  USE_SOURCE_PERMISSIONS
  PATTERN "check" EXCLUDE PATTERN "quickstart" EXCLUDE
  PATTERN "stages.sh" EXCLUDE PATTERN "count.awk" EXCLUDE)
foreach(section 1 3 5 7)
  file(GLOB pages CONFIGURE_DEPENDS
    ${PROJECT_SOURCE_DIR}/docs/*.${section} ${PROJECT_SOURCE_DIR}/docs/man/*.${section})
  if(pages)
    install(FILES ${pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
  endif()
endforeach()

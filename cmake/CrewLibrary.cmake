# The library, shared and static, from one set of objects.
file(GLOB crew_sources CONFIGURE_DEPENDS
  ${PROJECT_SOURCE_DIR}/src/*/*.c ${PROJECT_SOURCE_DIR}/src/backend/*/*.c)
# Not of the library: what the modules of CrewMpi.cmake are made of.
list(FILTER crew_sources EXCLUDE REGEX "/src/backend/mpi/module[a-z_]*\\.c$")

add_library(crew_objects OBJECT ${crew_sources})
set_target_properties(crew_objects PROPERTIES
  POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
target_include_directories(crew_objects PRIVATE
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_include_directories(crew_objects SYSTEM PRIVATE ${XXHASH_INCLUDE_DIRS})
target_link_libraries(crew_objects PRIVATE crew_flags Threads::Threads PkgConfig::HWLOC)

# Where an installed program and one that was linked statically find the modules.
file(RELATIVE_PATH CREW_BIN_TO_LIB ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/backend/mpi/load.c PROPERTIES
  COMPILE_DEFINITIONS
  "CREW_LIBDIR=\"${CMAKE_INSTALL_FULL_LIBDIR}\";CREW_BIN_TO_LIB=\"${CREW_BIN_TO_LIB}\"")

# The same random numbers on every machine: no fused multiply-add, which has one
# rounding where the code says two.
if(EXISTS ${PROJECT_SOURCE_DIR}/src/base/rng.c)
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/base/rng.c
    PROPERTIES COMPILE_OPTIONS -ffp-contract=off)
endif()

add_library(crew SHARED $<TARGET_OBJECTS:crew_objects>)
# Below 1.0 a minor version may change the interface: programs are to find their own.
set_target_properties(crew PROPERTIES VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
add_library(crew_static STATIC $<TARGET_OBJECTS:crew_objects>)
set_target_properties(crew_static PROPERTIES OUTPUT_NAME crew EXPORT_NAME static)
foreach(library crew crew_static)
  set_target_properties(${library} PROPERTIES LINKER_LANGUAGE C)
  target_include_directories(${library} INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(${library} PRIVATE Threads::Threads PkgConfig::HWLOC
    m ${CMAKE_DL_LIBS})
endforeach()
target_link_libraries(crew PRIVATE crew_flags)
add_library(crew::crew ALIAS crew)
add_library(crew::static ALIAS crew_static)

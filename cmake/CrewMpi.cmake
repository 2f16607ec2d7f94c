# The libraries that speak MPI: one source, built once for each MPI that there is. crew
# itself links neither: it loads the one that fits the launcher. A program that has MPI
# for itself links the same file (crew/mpi.h): crew::mpi-openmpi, crew::mpi-mpich.
#   CREW_MPI_OPENMPI, CREW_MPI_MPICH: AUTO (if it is found), ON (an error if not), OFF
#   CREW_OPENMPI_CC, CREW_MPICH_CC: that MPI's compiler wrapper, where it is not found
set(CREW_MPI_OPENMPI AUTO CACHE STRING "Build the module for Open MPI: AUTO, ON or OFF")
set(CREW_MPI_MPICH AUTO CACHE STRING "Build the module for MPICH: AUTO, ON or OFF")
set_property(CACHE CREW_MPI_OPENMPI CREW_MPI_MPICH PROPERTY STRINGS AUTO ON OFF)

# Debian has both side by side under names of their own, Fedora in folders of their
# own; elsewhere the one mpicc there is may be either.
find_program(CREW_OPENMPI_CC NAMES mpicc.openmpi mpicc PATHS /usr/lib64/openmpi/bin)
find_program(CREW_MPICH_CC NAMES mpicc.mpich mpicc PATHS /usr/lib64/mpich/bin)
mark_as_advanced(CREW_OPENMPI_CC CREW_MPICH_CC)

# What a wrapper adds to a compiler's command, in a list; empty if it says nothing.
function(crew_wrapper_flags wrapper option result)
  set(${result} "" PARENT_SCOPE)
  if(NOT wrapper)
    return()
  endif()
  execute_process(COMMAND ${wrapper} ${option}
    OUTPUT_VARIABLE output ERROR_QUIET RESULT_VARIABLE code OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(code EQUAL 0)
    separate_arguments(output UNIX_COMMAND "${output}")
    set(${result} "${output}" PARENT_SCOPE)
  endif()
endfunction()

# crew_mpi_builds(<flavour> <condition> <includes> <links> <result>): whether a program
# for which that condition of the preprocessor holds compiles and links with them.
function(crew_mpi_builds flavour condition includes links result)
  set(source ${PROJECT_BINARY_DIR}/CMakeFiles/crew-mpi-${flavour}.c)
  file(WRITE ${source} "#include <mpi.h>
#if !(${condition})
#error this is another MPI
#endif
int main(void)
{
    MPI_Message message = MPI_MESSAGE_NULL;
    return MPI_Improbe(0, 0, MPI_COMM_WORLD, 0, &message, MPI_STATUS_IGNORE);
}
")
  try_compile(CREW_MPI_BUILDS_${flavour} ${source}.dir ${source}
    CMAKE_FLAGS "-DINCLUDE_DIRECTORIES=${includes}" LINK_LIBRARIES ${links})
  set(${result} ${CREW_MPI_BUILDS_${flavour}} PARENT_SCOPE)
endfunction()

# crew_mpi_module(<flavour> <name> <wanted> <condition> <package> <flag>...)
function(crew_mpi_module flavour name wanted condition package)
  set(includes ${ARGN})
  list(FILTER includes INCLUDE REGEX "^-I")
  list(TRANSFORM includes REPLACE "^-I" "")
  set(links ${ARGN})
  list(FILTER links INCLUDE REGEX "^-(L|l|Wl,|pthread)")
  set(found FALSE)
  if(wanted STREQUAL "OFF")
    message(STATUS "MPI: no module for ${name} is wanted")
    return()
  endif()
  if(links)
    crew_mpi_builds(${flavour} "${condition}" "${includes}" "${links}" found)
  endif()
  if(NOT found)
    set(kind STATUS)
    if(NOT wanted STREQUAL "AUTO")
      set(kind FATAL_ERROR)
    endif()
    message(${kind} "MPI: no module for ${name}, which is not found (Debian: ${package})")
    return()
  endif()
  message(STATUS "MPI: a module for ${name} (${includes})")
  set(CREW_MPI_INCLUDES_${flavour} ${includes} PARENT_SCOPE)
  set(CREW_MPI_LINKS_${flavour} ${links} PARENT_SCOPE)
  set(target crew_mpi_${flavour})
  add_library(${target} SHARED ${crew_mpi_sources})
  add_library(crew::mpi-${flavour} ALIAS ${target})
  target_include_directories(${target} PRIVATE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_include_directories(${target} SYSTEM PRIVATE ${includes})
  target_link_libraries(${target} PRIVATE crew_flags ${links} ${CMAKE_DL_LIBS})
  # Who links it needs crew, which it does not know, and that MPI.
  target_link_libraries(${target} INTERFACE crew ${links})
  target_include_directories(${target} SYSTEM INTERFACE ${includes})
  # An MPI that lies outside of the system's folders is found again at run time.
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME crew-mpi-${flavour} EXPORT_NAME mpi-${flavour} C_VISIBILITY_PRESET hidden
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR} INSTALL_RPATH_USE_LINK_PATH ON)
endfunction()

file(GLOB crew_mpi_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/backend/mpi/module*.c)

crew_wrapper_flags("${CREW_OPENMPI_CC}" --showme:compile openmpi_compile)
crew_wrapper_flags("${CREW_OPENMPI_CC}" --showme:link openmpi_link)
crew_mpi_module(openmpi "Open MPI" "${CREW_MPI_OPENMPI}" "defined(OPEN_MPI)" libopenmpi-dev
  ${openmpi_compile} ${openmpi_link})

crew_wrapper_flags("${CREW_MPICH_CC}" -show mpich)
crew_mpi_module(mpich MPICH "${CREW_MPI_MPICH}" "defined(MPICH_VERSION)||defined(I_MPI_VERSION)"
  libmpich-dev ${mpich})

# Those of them that are built.
add_custom_target(crew_mpi)
foreach(flavour openmpi mpich)
  if(TARGET crew_mpi_${flavour})
    add_dependencies(crew_mpi crew_mpi_${flavour})
  endif()
endforeach()

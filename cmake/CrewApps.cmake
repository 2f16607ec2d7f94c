# apps/<x>/*.c is the program <x>; every apps/examples/*.c is a program of its own.
find_package(OpenMP COMPONENTS C QUIET)

function(crew_app target name library)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/apps/${name}/*.c)
  if(NOT sources)
    return()
  endif()
  add_executable(${target} ${sources})
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/apps)
  target_link_libraries(${target} PRIVATE crew_flags ${library} Threads::Threads m)
endfunction()

crew_app(primes primes crew::crew)
crew_app(ep ep crew::crew)

crew_app(bench bench crew::crew)
if(TARGET bench AND OpenMP_C_FOUND)
  target_link_libraries(bench PRIVATE OpenMP::OpenMP_C)
endif()

# The command line is linked statically: an installed one needs no search path.
crew_app(crew_program crew crew::static)

# A library that an example is about; without it that example is left out.
set(example_records_needs sqlite3)
set(example_starmap_images_needs libwebp)

file(GLOB examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/apps/examples/*.c)
foreach(source ${examples})
  get_filename_component(name ${source} NAME_WE)
  set(needs ${example_${name}_needs})
  if(needs)
    pkg_check_modules(example_${needs} QUIET IMPORTED_TARGET ${needs})
    if(NOT example_${needs}_FOUND)
      message(STATUS "The example ${name} is left out: it needs ${needs}")
      continue()
    endif()
  endif()
  add_executable(example_${name} ${source})
  set_target_properties(example_${name} PROPERTIES
    OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/apps/examples)
  target_link_libraries(example_${name} PRIVATE crew_flags crew::crew m)
  if(needs)
    target_link_libraries(example_${name} PRIVATE PkgConfig::example_${needs})
  endif()
endforeach()

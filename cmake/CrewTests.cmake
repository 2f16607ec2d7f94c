# Every tests/<label>/*_test.c is one executable, linked with the static library.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

file(GLOB support CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/support/*.c)
list(FILTER support EXCLUDE REGEX "/plugin\\.c$")
add_library(crew_test_base INTERFACE)
target_include_directories(crew_test_base INTERFACE
  ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests ${PROJECT_SOURCE_DIR}/tests/support)
target_link_libraries(crew_test_base INTERFACE
  crew_flags crew::static PkgConfig::CMOCKA PkgConfig::HWLOC Threads::Threads m)
target_compile_definitions(crew_test_base INTERFACE CREW_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
if(support)
  add_library(crew_test_support STATIC ${support})
  target_link_libraries(crew_test_support PUBLIC crew_test_base)
endif()

# An object that is loaded while the program runs, for tests of how functions are named.
if(EXISTS ${PROJECT_SOURCE_DIR}/tests/support/plugin.c)
  add_library(crew_test_plugin MODULE ${PROJECT_SOURCE_DIR}/tests/support/plugin.c)
  target_include_directories(crew_test_plugin PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(crew_test_plugin PRIVATE crew_flags)
  target_compile_definitions(crew_test_base INTERFACE
    CREW_TEST_PLUGIN="$<TARGET_FILE:crew_test_plugin>")
endif()

# crew_test(<test> <target> <label> <seconds> [NAME=value...])
function(crew_test test target label seconds)
  math(EXPR limit "${seconds} * ${CREW_TEST_SLOWNESS}")
  add_test(NAME ${test} COMMAND ${target})
  set_tests_properties(${test} PROPERTIES
    LABELS ${label} TIMEOUT ${limit} ENVIRONMENT "${ARGN}" SKIP_RETURN_CODE 77)
endfunction()

find_package(OpenMP COMPONENTS C)

function(crew_tests label seconds)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${label}/*_test.c)
  foreach(source ${sources})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "_test$" "" name ${name})
    set(target ${label}_${name}_test)
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/${label})
    if(TARGET crew_test_support)
      target_link_libraries(${target} PRIVATE crew_test_support)
    endif()
    target_link_libraries(${target} PRIVATE crew_test_base)
    if(TARGET crew_test_plugin)
      add_dependencies(${target} crew_test_plugin)
    endif()
    # A file says in its first line that it is about OpenMP in tasks.
    file(STRINGS ${source} first LIMIT_COUNT 1)
    if(first MATCHES "crew-test: openmp" AND OpenMP_C_FOUND)
      target_link_libraries(${target} PRIVATE OpenMP::OpenMP_C)
    endif()
    set(backends)
    if(label STREQUAL "conformance")
      set(backends serial threads fork server spawn ranks)
    elseif(label STREQUAL "fault" AND name MATCHES "^ranks_")
      set(backends ranks)
    elseif(label STREQUAL "fault" AND name STREQUAL "journal_trouble")
      set(backends fork) # of the manager's thread and its file: who runs tasks is no matter
    elseif(label STREQUAL "fault" AND NOT name MATCHES "^((arena|ring)_kill|(map|queue)_step)$")
      set(backends fork server spawn)
      # Deaths of workers are the same there; those of nurseries are not.
      if(name MATCHES "(_kill|^crash|^recovery|^kill_stress|^limit|^hints|^init_death)$")
        list(APPEND backends ranks)
      endif()
    endif()
    if(backends)
      foreach(backend ${backends})
        crew_test(${label}.${name}.${backend} ${target} ${label} ${seconds}
          CREW_TEST_BACKEND=${backend})
      endforeach()
    else()
      crew_test(${label}.${name} ${target} ${label} ${seconds})
    endif()
  endforeach()
endfunction()

crew_tests(unit 120)
crew_tests(sim 300)
crew_tests(conformance 300)
crew_tests(fault 300)

# The models of protocols: every state of them.
math(EXPR model_limit "300 * ${CREW_TEST_SLOWNESS}")
add_test(NAME models.queue COMMAND sh ${PROJECT_SOURCE_DIR}/tests/models/queue.sh
  ${PROJECT_SOURCE_DIR})
set_tests_properties(models.queue PROPERTIES
  LABELS models TIMEOUT ${model_limit} SKIP_RETURN_CODE 77)

# The programs, by their known answers.
function(crew_script test seconds)
  math(EXPR limit "${seconds} * ${CREW_TEST_SLOWNESS}")
  add_test(NAME ${test} COMMAND sh ${ARGN})
  set_tests_properties(${test} PROPERTIES LABELS apps TIMEOUT ${limit})
endfunction()

# crew_program_tests(<program> [<argument>...]): its script, on every backend.
function(crew_program_tests name)
  if(TARGET ${name})
    foreach(backend serial threads fork)
      crew_script(apps.${name}.${backend} 180
        ${PROJECT_SOURCE_DIR}/tests/apps/${name}.sh $<TARGET_FILE:${name}> ${ARGN})
      set_tests_properties(apps.${name}.${backend} PROPERTIES ENVIRONMENT
        CREW_BACKEND=${backend})
    endforeach()
  endif()
endfunction()

if(TARGET thumbs)
  add_executable(apps_pictures ${PROJECT_SOURCE_DIR}/tests/apps/pictures.c)
  set_target_properties(apps_pictures PROPERTIES
    OUTPUT_NAME pictures RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/apps)
  target_link_libraries(apps_pictures PRIVATE
    crew_flags PkgConfig::apps_libjpeg PkgConfig::apps_libpng PkgConfig::apps_libwebp)
  crew_program_tests(thumbs $<TARGET_FILE:apps_pictures>)
endif()
foreach(program primes ep uts mandelbrot sweep)
  crew_program_tests(${program})
endforeach()
crew_program_tests(wordcount ${PROJECT_SOURCE_DIR})

if(TARGET crew_program)
  crew_script(apps.crew 60
    ${PROJECT_SOURCE_DIR}/tests/apps/crew.sh $<TARGET_FILE:crew_program> ${PROJECT_SOURCE_DIR})
endif()
if(TARGET example_first)
  foreach(backend serial threads fork)
    crew_script(apps.examples.${backend} 300
      ${PROJECT_SOURCE_DIR}/tests/apps/examples.sh ${PROJECT_BINARY_DIR}/apps/examples)
    set_tests_properties(apps.examples.${backend} PROPERTIES ENVIRONMENT CREW_BACKEND=${backend})
  endforeach()
  foreach(start fork server spawn)
    crew_script(apps.processes.${start} 120
      ${PROJECT_SOURCE_DIR}/tests/apps/processes.sh ${PROJECT_BINARY_DIR}/apps/examples)
    set_tests_properties(apps.processes.${start} PROPERTIES ENVIRONMENT CREW_START=${start})
  endforeach()
endif()

# The same as the ranks of a job. crew_ranked_test(<label> <job> <script> <program>...)
function(crew_ranked_test label job script)
  math(EXPR limit "600 * ${CREW_TEST_SLOWNESS}")
  add_test(NAME apps.${script}.${job}
    COMMAND ${PROJECT_SOURCE_DIR}/tests/apps/ranked ${job} ${script} ${ARGN})
  set_tests_properties(apps.${script}.${job} PROPERTIES
    LABELS ${label} TIMEOUT ${limit} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
    ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_LABEL=${label}")
endfunction()
foreach(job four hosts3)
  foreach(program primes ep uts mandelbrot sweep)
    if(TARGET ${program})
      crew_ranked_test(mpi_long ${job} ${program} $<TARGET_FILE:${program}>)
    endif()
  endforeach()
  if(TARGET wordcount)
    crew_ranked_test(mpi_long ${job} wordcount $<TARGET_FILE:wordcount> ${PROJECT_SOURCE_DIR})
  endif()
  if(TARGET thumbs)
    crew_ranked_test(mpi_long ${job} thumbs $<TARGET_FILE:thumbs> $<TARGET_FILE:apps_pictures>)
  endif()
endforeach()
if(TARGET example_first)
  crew_ranked_test(mpi hosts3 examples ${PROJECT_BINARY_DIR}/apps/examples)
  crew_ranked_test(mpi_long hosts3 processes ${PROJECT_BINARY_DIR}/apps/examples)
  crew_ranked_test(mpi_long four examples ${PROJECT_BINARY_DIR}/apps/examples)
  crew_ranked_test(mpi four processes ${PROJECT_BINARY_DIR}/apps/examples)
endif()

# The scripts under cluster/: each skips what this machine does not allow or have.
function(crew_cluster_test name seconds)
  math(EXPR limit "${seconds} * ${CREW_TEST_SLOWNESS}")
  add_test(NAME cluster.${name}
    COMMAND bash ${PROJECT_SOURCE_DIR}/tests/cluster/${name}.sh ${PROJECT_SOURCE_DIR} ${ARGN})
  set_tests_properties(cluster.${name} PROPERTIES LABELS cluster TIMEOUT ${limit})
endfunction()
crew_cluster_test(hosts 180)
crew_cluster_test(crewrun 360)
crew_cluster_test(slurm 300)
if(TARGET primes)
  crew_cluster_test(templates 300 $<TARGET_FILE:primes>)
  add_executable(cluster_job ${PROJECT_SOURCE_DIR}/tests/cluster/job.c)
  target_link_libraries(cluster_job PRIVATE crew crew_flags)
  set_target_properties(cluster_job PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/cluster)
  crew_cluster_test(jobs 400 $<TARGET_FILE:primes> $<TARGET_FILE:cluster_job>)
endif()

if(CREW_TESTS_MPI)
  include(cmake/CrewTestsMpi.cmake)
endif()

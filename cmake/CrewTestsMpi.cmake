# Between real ranks of this machine: crew_mpi_test(<test> <flavour> <ranks> <seconds>
# <option or argument of tests/mpi/run.sh>...). One at a time: ranks that wait, spin.
function(crew_mpi_test test flavour ranks seconds)
  math(EXPR limit "(${seconds} + 20) * ${CREW_TEST_SLOWNESS}")
  math(EXPR within "${seconds} * ${CREW_TEST_SLOWNESS}")
  add_test(NAME ${test} COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/run.sh
    ${flavour} ${ranks} --within ${within} ${ARGN})
  set_tests_properties(${test} PROPERTIES LABELS mpi TIMEOUT ${limit} SKIP_RETURN_CODE 77
    RESOURCE_LOCK mpi ENVIRONMENT CREW_MPI_MODULE=${PROJECT_BINARY_DIR})
endfunction()

add_executable(mpi_transport ${PROJECT_SOURCE_DIR}/tests/mpi/transport.c)
target_link_libraries(mpi_transport PRIVATE crew_test_base)
set_target_properties(mpi_transport PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
set(transport $<TARGET_FILE:mpi_transport>)
foreach(flavour openmpi mpich)
  if(TARGET crew_mpi_${flavour})
    add_dependencies(mpi_transport crew_mpi_${flavour})
  endif()
  foreach(nodes 0 0,1 1,1,0,0,2)
    string(REPLACE "," "" name ${nodes})
    crew_mpi_test(mpi.place.${flavour}.${name} ${flavour} 4 60 --nodes ${nodes} ${transport} place)
  endforeach()
  crew_mpi_test(mpi.place.${flavour} ${flavour} 2 60 ${transport} place)
  crew_mpi_test(mpi.exchange.${flavour} ${flavour} 4 60 ${transport} exchange)
  foreach(name pairs many large unread)
    foreach(ranks 2 4)
      crew_mpi_test(mpi.${name}.${flavour}.${ranks} ${flavour} ${ranks} 60 --nodes 0,1,2,3
        ${transport} ${name})
    endforeach()
  endforeach()
  crew_mpi_test(mpi.abort.${flavour} ${flavour} 3 10 --nodes 0,1,2 --fails 7 ${transport} abort)
endforeach()
# What MPICH does when a rank is lost is to end the job.
foreach(name killed silent)
  foreach(network vader tcp)
    crew_mpi_test(mpi.${name}.openmpi.${network} openmpi 4 60 --nodes 0,1,2,3 --recovery
      --mca btl self,${network} ${transport} ${name})
  endforeach()
endforeach()
crew_mpi_test(mpi.killed_plainly.openmpi openmpi 4 10 --nodes 0,1,2,3 --fails 137
  ${transport} killed)
crew_mpi_test(mpi.killed_plainly.mpich mpich 4 10 --nodes 0,1,2,3 --fails 9 ${transport} killed)

# What loading says: with modules that are not as they should be, and in a program that
# cannot load any.
foreach(fake good:CW_MPI_TABLE other:999)
  string(REPLACE ":" ";" fake ${fake})
  list(GET fake 0 name)
  list(GET fake 1 table)
  add_library(mpi_fake_${name} MODULE ${PROJECT_SOURCE_DIR}/tests/mpi/fake_module.c)
  target_include_directories(mpi_fake_${name} PRIVATE
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(mpi_fake_${name} PRIVATE crew_flags)
  target_compile_definitions(mpi_fake_${name} PRIVATE FAKE_TABLE=${table})
  set_target_properties(mpi_fake_${name} PROPERTIES PREFIX lib OUTPUT_NAME crew-mpi-${name}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
endforeach()
add_executable(mpi_load_test ${PROJECT_SOURCE_DIR}/tests/mpi/load_test.c)
target_link_libraries(mpi_load_test PRIVATE crew_test_base)
target_compile_definitions(mpi_load_test PRIVATE
  CREW_TEST_FAKE_MODULE="$<TARGET_FILE:mpi_fake_other>"
  CREW_TEST_GOOD_MODULE="$<TARGET_FILE:mpi_fake_good>")
set_target_properties(mpi_load_test PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
add_dependencies(mpi_load_test mpi_fake_good mpi_fake_other crew_test_plugin)
crew_test(mpi.load mpi_load_test mpi 60)

add_test(NAME mpi.static COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/static.sh
  ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER})
set_tests_properties(mpi.static PROPERTIES LABELS mpi TIMEOUT 60 SKIP_RETURN_CODE 77)

# Pools over the ranks of jobs. crew_mpi_pool_tests(<config> <seconds> <label> <test>...): these
# conformance tests under a launcher, see tests/mpi/under.
function(crew_mpi_pool_tests config seconds label)
  math(EXPR limit "${seconds} * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "${limit} + 30") # what it takes to clean up is not the test's
  foreach(test ${ARGN})
    if(NOT TARGET conformance_${test}_test)
      message(FATAL_ERROR "mpi.${config}.${test}: there is no such conformance test")
    endif()
    add_test(NAME mpi.${config}.${test}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:conformance_${test}_test>)
    set_tests_properties(mpi.${config}.${test} PROPERTIES
      LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
      ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label}")
  endforeach()
endfunction()
set(pool_tests map pool task bytes for_reduce future jobs imap slices stats edges failure
  wait_inside python_futures python_pool)
set(object_tests array array_address array_scope array_view barrier bind cond dict event guard
  handles list lock openmp pipe process process_wait queue sem shm shm_map value)
crew_mpi_pool_tests(two 120 mpi ${pool_tests} ${object_tests})
crew_mpi_pool_tests(four 120 mpi map pool future imap failure array lock queue process)
crew_mpi_pool_tests(nodes3 120 mpi ${pool_tests} journal journal_stream)
crew_mpi_pool_tests(mpich2 120 mpi map pool future failure array lock)
crew_mpi_pool_tests(hosts3 120 mpi map pool future imap failure)
# Tasks that run in the ranks themselves: CREW_ISOLATE=0.
crew_mpi_pool_tests(aboard2 120 mpi map failure)
crew_mpi_pool_tests(aboard4 120 mpi pool future)
crew_mpi_pool_tests(aboard3x2 120 mpi imap)
# The other provider of a node's memory: CREW_SEGMENT=window.
crew_mpi_pool_tests(window2 120 mpi map pool array)
crew_mpi_pool_tests(window3x2 120 mpi future)
# Each takes its time only where CREW_TEST_LONG is set, and is skipped elsewhere.
crew_mpi_pool_tests(one 120 mpi_long ${pool_tests} ${object_tests})
crew_mpi_pool_tests(four 120 mpi_long task bytes for_reduce jobs slices stats edges wait_inside
  python_futures python_pool array_scope array_view barrier cond dict event guard list pipe sem shm)
crew_mpi_pool_tests(nodes3x2 120 mpi_long ${pool_tests})
crew_mpi_pool_tests(aboard2 120 mpi_long pool future imap task bytes jobs)
crew_mpi_pool_tests(aboard4 120 mpi_long map failure imap task bytes for_reduce jobs slices stats edges
  lock queue)
crew_mpi_pool_tests(aboard3x2 120 mpi_long map pool future failure task bytes for_reduce jobs slices
  stats edges)
crew_mpi_pool_tests(window2 120 mpi_long task bytes for_reduce future jobs imap slices stats edges
  failure wait_inside python_futures python_pool array_address array_scope array_view barrier cond dict
  event guard list lock pipe process queue sem shm shm_map value)
crew_mpi_pool_tests(window3x2 120 mpi_long map pool task bytes for_reduce jobs imap slices stats edges
  failure wait_inside python_futures python_pool)
crew_mpi_pool_tests(mpich2 120 mpi_long task bytes for_reduce jobs imap slices stats edges wait_inside
  python_futures python_pool dict queue pipe process sem shm)
crew_mpi_pool_tests(hosts3 120 mpi_long task bytes for_reduce jobs slices stats edges wait_inside
  python_futures python_pool)
crew_mpi_pool_tests(hosts3x2 120 mpi_long ${pool_tests})
crew_mpi_pool_tests(nodes3x2 120 mpi_long journal journal_stream)
crew_mpi_pool_tests(hosts3 120 mpi_long journal)

# What nodes give back: tests/mpi/shares.c.
add_executable(mpi_shares ${PROJECT_SOURCE_DIR}/tests/mpi/shares.c)
target_link_libraries(mpi_shares PRIVATE crew_test_support crew_test_base)
set_target_properties(mpi_shares PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
foreach(config nodes3:mpi nodes3x2:mpi_long hosts3:mpi_long)
  string(REPLACE ":" ";" config ${config})
  list(GET config 0 name)
  list(GET config 1 label)
  math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "${limit} + 30")
  add_test(NAME mpi.shares.${name}
    COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${name} $<TARGET_FILE:mpi_shares>)
  set_tests_properties(mpi.shares.${name} PROPERTIES
    LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
    ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label}")
endforeach()

# A map that ranks of several nodes begin, and forked workers end: tests/mpi/resume.c.
add_executable(mpi_resume ${PROJECT_SOURCE_DIR}/tests/mpi/resume.c)
target_link_libraries(mpi_resume PRIVATE crew_test_base)
set_target_properties(mpi_resume PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
math(EXPR last "2 * ${limit}")
add_test(NAME mpi.resume COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/resume.sh
  ${PROJECT_SOURCE_DIR}/tests/mpi/under $<TARGET_FILE:mpi_resume>)
set_tests_properties(mpi.resume PROPERTIES LABELS mpi TIMEOUT ${last} SKIP_RETURN_CODE 77
  RESOURCE_LOCK mpi ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit}")

# The measurements of apps/bench, quickly: that they run.
if(TARGET bench AND TARGET crew_mpi_openmpi)
  math(EXPR bench_limit "120 * ${CREW_TEST_SLOWNESS}")
  add_test(NAME mpi.bench COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/bench.sh $<TARGET_FILE:bench>
    mpi-item mpi-textbook mpi-hosts mpi-hosts-64b mpi-hosts-100us mpi-hosts-random mpi-makespan
    mpi-manager mpi-bcast mpi-idle mpi-idle-nodes)
  set_tests_properties(mpi.bench PROPERTIES LABELS mpi TIMEOUT ${bench_limit} RESOURCE_LOCK mpi)
endif()

# Tasks that take several ranks: tests/mpi/gang.c, which calls MPI.
# crew_mpi_gang_tests(<label> <flavour> <config>...)
foreach(flavour openmpi mpich)
  if(TARGET crew_mpi_${flavour})
    add_executable(mpi_gang_${flavour} ${PROJECT_SOURCE_DIR}/tests/mpi/gang.c)
    target_include_directories(mpi_gang_${flavour} SYSTEM PRIVATE ${CREW_MPI_INCLUDES_${flavour}})
    target_link_libraries(mpi_gang_${flavour} PRIVATE
      crew_test_support crew_test_base ${CREW_MPI_LINKS_${flavour}})
    set_target_properties(mpi_gang_${flavour} PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
  endif()
endforeach()
function(crew_mpi_gang_tests label flavour)
  if(NOT TARGET mpi_gang_${flavour})
    return()
  endif()
  math(EXPR limit "120 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "${limit} + 30")
  foreach(config ${ARGN})
    add_test(NAME mpi.gang.${config}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:mpi_gang_${flavour}>)
    set_tests_properties(mpi.gang.${config} PROPERTIES
      LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
      ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label}")
  endforeach()
endfunction()
crew_mpi_gang_tests(mpi openmpi two aboard2 aboard4 aboard3 aboard3x2)
crew_mpi_gang_tests(mpi mpich aboardmpich2)
crew_mpi_gang_tests(mpi_long openmpi aboard1)
crew_mpi_gang_tests(mpi openmpi crewaboard3x2) # a rank is lost
if(TEST mpi.gang.crewaboard3x2)
  set_property(TEST mpi.gang.crewaboard3x2 APPEND PROPERTY ENVIRONMENT CREW_TEST_LOSS=1)
endif()

# What is lost in the middle of maps: tests/mpi/lost.c.
add_executable(mpi_lost ${PROJECT_SOURCE_DIR}/tests/mpi/lost.c)
target_link_libraries(mpi_lost PRIVATE crew_test_support crew_test_base)
set_target_properties(mpi_lost PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
function(crew_mpi_lost_test label config loss)
  string(REPLACE " " "_" name ${loss})
  math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "20 * ${limit}") # of so many in long runs
  add_test(NAME mpi.lost.${config}.${name}
    COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:mpi_lost>)
  set_tests_properties(mpi.lost.${config}.${name} PROPERTIES
    LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
    ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label};CREW_TEST_LOSS=${loss};CREW_TEST_TIMES=2 20")
endfunction()
foreach(config nodes3 hosts3)
  crew_mpi_lost_test(mpi ${config} workers)
endforeach()
crew_mpi_lost_test(mpi crewrun3x2 "leader 1")
crew_mpi_lost_test(mpi crewrun3x2 "follower 1")
crew_mpi_lost_test(mpi crewhosts3 kill)
crew_mpi_lost_test(mpi crewhosts3 unplug)
crew_mpi_lost_test(mpi_long nodes3x2 workers)
crew_mpi_lost_test(mpi_long crewrun3x2 "leader 2")
crew_mpi_lost_test(mpi_long crewrun3x2 "follower 0")

# Programs that are stopped by a signal to one rank or another: tests/mpi/stop.c.
add_executable(mpi_stop ${PROJECT_SOURCE_DIR}/tests/mpi/stop.c)
target_link_libraries(mpi_stop PRIVATE crew_test_base)
set_target_properties(mpi_stop PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
function(crew_mpi_stop_test label config)
  math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "20 * ${limit}")
  foreach(whom ${ARGN})
    add_test(NAME mpi.stop.${config}.${whom}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:mpi_stop> ${whom})
    set_tests_properties(mpi.stop.${config}.${whom} PROPERTIES
      LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
      ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label};CREW_TEST_EXPECTS=85;CREW_TEST_TIMES=1 10")
  endforeach()
endfunction()
crew_mpi_stop_test(mpi two rank0 rank1)
crew_mpi_stop_test(mpi nodes3x2 rank2 rank3 all late3 long)
crew_mpi_stop_test(mpi mpich2 rank1)
crew_mpi_stop_test(mpi_long nodes3 rank0 rank1 all long)
crew_mpi_stop_test(mpi_long nodes3x2 rank0 rank1)
crew_mpi_stop_test(mpi_long hosts3x2 rank3)

# Objects of one node used from all: tests/mpi/remote.h.
function(crew_mpi_remote_tests label config)
  math(EXPR limit "120 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "${limit} + 30")
  foreach(name remote remote_ends)
    add_test(NAME mpi.${name}.${config}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:mpi_${name}>)
    set_tests_properties(mpi.${name}.${config} PROPERTIES
      LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
      ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label}")
  endforeach()
endfunction()
foreach(name remote remote_ends remote_lost)
  add_executable(mpi_${name} ${PROJECT_SOURCE_DIR}/tests/mpi/${name}.c)
  target_link_libraries(mpi_${name} PRIVATE crew_test_support crew_test_base)
  set_target_properties(mpi_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
endforeach()
function(crew_mpi_remote_lost_test label config loss)
  string(REPLACE " " "_" name ${loss})
  math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "20 * ${limit}") # of so many in long runs
  add_test(NAME mpi.remote_lost.${config}.${name}
    COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:mpi_remote_lost>)
  set_tests_properties(mpi.remote_lost.${config}.${name} PROPERTIES
    LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
    ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label};CREW_TEST_LOSS=${loss};CREW_TEST_TIMES=1 20")
endfunction()
crew_mpi_remote_lost_test(mpi crewrun3x2 "leader 1")
crew_mpi_remote_lost_test(mpi crewhosts3 kill)
crew_mpi_remote_lost_test(mpi_long crewhosts3 unplug)
crew_mpi_remote_tests(mpi nodes3)
crew_mpi_remote_tests(mpi hosts3)
crew_mpi_remote_tests(mpi_long nodes3x2)
crew_mpi_pool_tests(nodes3 120 mpi_long barrier cond event handles lock pipe sem value)

# How programs end: tests/mpi/ends.c. crew_mpi_ends_test(<label> <config> <how>...)
add_executable(mpi_ends ${PROJECT_SOURCE_DIR}/tests/mpi/ends.c)
target_link_libraries(mpi_ends PRIVATE crew_test_base ${CMAKE_DL_LIBS})
set_target_properties(mpi_ends PROPERTIES ENABLE_EXPORTS ON)
set_target_properties(mpi_ends PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
set(code_crashes 139)
set(code_killed 137)
set(code_terminated 143)
set(code_leader lost)
set(code_host lost)
function(crew_mpi_ends_test label config)
  math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "20 * ${limit}")
  foreach(how ${ARGN})
    set(code 3)
    if(DEFINED code_${how})
      set(code ${code_${how}})
    endif()
    string(REPLACE " " "_" name ${how})
    string(REPLACE " " ";" arguments ${how})
    add_test(NAME mpi.ends.${config}.${name}
      COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:mpi_ends> ${arguments})
    set_tests_properties(mpi.ends.${config}.${name} PROPERTIES
      LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
      ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label};CREW_TEST_EXPECTS=${code};CREW_TEST_TIMES=2 20")
  endforeach()
endfunction()
crew_mpi_ends_test(mpi two returns exits crashes)
crew_mpi_ends_test(mpi mpich2 returns finalizes killed leader)
crew_mpi_ends_test(mpi nodes3 returns exits crashes killed leader)
crew_mpi_ends_test(mpi hosts3 killed host)
crew_mpi_ends_test(mpi crewrun3x2 exits "last 3")
crew_mpi_ends_test(mpi_long two finalizes killed terminated leader)
crew_mpi_ends_test(mpi_long mpich2 exits crashes terminated)
crew_mpi_ends_test(mpi_long nodes3 finalizes terminated)
crew_mpi_ends_test(mpi_long hosts3 returns exits finalizes crashes terminated)
crew_mpi_ends_test(mpi_long nodes3x2 leader)
crew_mpi_ends_test(mpi_long crewrun3x2 returns finalizes crashes killed terminated "last 1" "last 2")

# Processes on other nodes: tests/mpi/processes.c.
add_executable(mpi_processes ${PROJECT_SOURCE_DIR}/tests/mpi/processes.c)
target_link_libraries(mpi_processes PRIVATE crew_test_support crew_test_base)
set_target_properties(mpi_processes PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
# crew_mpi_program_test(<label> <config> <target> [<argument>...])
function(crew_mpi_program_test label config target)
  string(REGEX REPLACE "^mpi_" "" name ${target})
  math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "${limit} + 30")
  add_test(NAME mpi.${name}.${config}
    COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:${target}> ${ARGN})
  set_tests_properties(mpi.${name}.${config} PROPERTIES
    LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
    ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label}")
endfunction()
crew_mpi_program_test(mpi nodes3 mpi_processes)
crew_mpi_program_test(mpi_long nodes3x2 mpi_processes)
crew_mpi_program_test(mpi_long hosts3 mpi_processes)

# One picture of all nodes: tests/mpi/places.c, and what `crew info` prints of it.
add_executable(mpi_places ${PROJECT_SOURCE_DIR}/tests/mpi/places.c)
target_link_libraries(mpi_places PRIVATE crew_test_support crew_test_base)
set_target_properties(mpi_places PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
crew_mpi_program_test(mpi nodes3 mpi_places)
crew_mpi_program_test(mpi nodes3x2 mpi_places)
if(TARGET crew_program)
  add_test(NAME mpi.picture COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/picture.sh
    ${PROJECT_SOURCE_DIR}/tests/mpi/under $<TARGET_FILE:crew_program>)
  math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
  set_tests_properties(mpi.picture PROPERTIES LABELS mpi TIMEOUT ${limit} SKIP_RETURN_CODE 77
    RESOURCE_LOCK mpi ENVIRONMENT CREW_MPI_MODULE=${PROJECT_BINARY_DIR})
endif()

# Ranks that are not alike are refused at the start, with the reason, and nobody waits: other
# programs, and what says of itself to be another version's or machine's. The first one tells why.
add_executable(mpi_impostor ${PROJECT_SOURCE_DIR}/tests/mpi/impostor.c)
target_link_libraries(mpi_impostor PRIVATE crew_test_base)
set_target_properties(mpi_impostor PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
if(TARGET primes AND TARGET ep)
  foreach(flavour openmpi mpich)
    crew_mpi_test(mpi.unlike.${flavour}.program ${flavour} 1 10 --nodes 0,0,1
      --says "run different programs, or builds of it" --fails any
      $<TARGET_FILE:primes> 1 100 : -n 2 $<TARGET_FILE:ep> S)
    foreach(field "version:different versions of crew" "pointer:machines of different kinds"
        "endian:machines of different kinds" "magic:do not both run crew"
        "layout:different builds of crew")
      string(REGEX REPLACE ":.*" "" name ${field})
      string(REGEX REPLACE ".*:" "" says ${field})
      crew_mpi_test(mpi.unlike.${flavour}.${name} ${flavour} 1 10 --nodes 0,1 --says ${says} --fails any
        $<TARGET_FILE:primes> 1 100 : -n 1 $<TARGET_FILE:mpi_impostor> ${name})
    endforeach()
  endforeach()
endif()

# What is wrong with CREW_SEGMENT is told at the start, before MPI could refuse it.
if(TARGET primes)
  foreach(flavour openmpi mpich)
    crew_mpi_test(mpi.window.${flavour}.large ${flavour} 2 20 --says "set CREW_SEGMENT_SIZE"
      --fails any env CREW_SEGMENT=window CREW_SEGMENT_SIZE=200T $<TARGET_FILE:primes> 1 100)
    crew_mpi_test(mpi.window.${flavour}.unlike ${flavour} 1 20 --says "different settings of CREW_SEGMENT"
      --fails any env CREW_SEGMENT=window $<TARGET_FILE:primes> 1 100 : -n 1 $<TARGET_FILE:primes> 1 100)
  endforeach()
endif()

# Pools inside a program's own MPI: tests/mpi/own.c, linked as such a program is.
foreach(flavour openmpi mpich)
  if(NOT TARGET crew_mpi_${flavour})
    continue()
  endif()
  set(target mpi_own_${flavour})
  add_executable(${target} ${PROJECT_SOURCE_DIR}/tests/mpi/own.c)
  target_link_libraries(${target} PRIVATE crew_flags crew::mpi-${flavour} Threads::Threads)
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
  set(ranks 2)
  if(flavour STREQUAL openmpi)
    set(ranks 4)
  endif()
  foreach(level funneled multiple)
    crew_mpi_test(mpi.own.${flavour}.${level} ${flavour} ${ranks} 60 $<TARGET_FILE:${target}> ${level})
    crew_mpi_test(mpi.own.${flavour}.${level}.nodes ${flavour} ${ranks} 60 --nodes 0,1,2,1
      $<TARGET_FILE:${target}> ${level})
  endforeach()
  get_target_property(links crew_mpi_${flavour} INTERFACE_LINK_LIBRARIES)
  get_target_property(includes crew_mpi_${flavour} INTERFACE_INCLUDE_DIRECTORIES)
  list(REMOVE_ITEM links crew)
  add_executable(mpi_late_${flavour} ${PROJECT_SOURCE_DIR}/tests/mpi/late.c)
  target_include_directories(mpi_late_${flavour} SYSTEM PRIVATE ${includes})
  target_link_libraries(mpi_late_${flavour} PRIVATE crew_flags crew::crew ${links})
  set_target_properties(mpi_late_${flavour} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
  crew_mpi_test(mpi.late.${flavour} ${flavour} 2 30 $<TARGET_FILE:mpi_late_${flavour}>)
  set(level serialized)
  if(flavour STREQUAL openmpi)
    set(level single)
  endif()
  crew_mpi_test(mpi.own.${flavour}.${level} ${flavour} ${ranks} 60 --nodes 0,1,1
    $<TARGET_FILE:${target}> ${level})
endforeach()

# What tasks start by themselves: tests/mpi/clean.c.
if(TARGET primes)
  add_executable(mpi_clean ${PROJECT_SOURCE_DIR}/tests/mpi/clean.c)
  target_link_libraries(mpi_clean PRIVATE crew_test_support crew_test_base)
  set_target_properties(mpi_clean PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
  crew_mpi_program_test(mpi nodes3 mpi_clean $<TARGET_FILE:primes>)
  crew_mpi_program_test(mpi_long two mpi_clean $<TARGET_FILE:primes>)
endif()

# Arrays over several nodes: tests/mpi/arrays.c.
add_executable(mpi_arrays ${PROJECT_SOURCE_DIR}/tests/mpi/arrays.c)
target_link_libraries(mpi_arrays PRIVATE crew_test_support crew_test_base)
set_target_properties(mpi_arrays PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
add_executable(mpi_arrays_room ${PROJECT_SOURCE_DIR}/tests/mpi/arrays.c)
target_link_libraries(mpi_arrays_room PRIVATE crew_test_support crew_test_base)
set_target_properties(mpi_arrays_room PROPERTIES
  RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
foreach(what bcast reduce parts)
  add_executable(mpi_arrays_lost_${what} ${PROJECT_SOURCE_DIR}/tests/mpi/arrays_lost.c)
  target_link_libraries(mpi_arrays_lost_${what} PRIVATE crew_test_support crew_test_base)
  set_target_properties(mpi_arrays_lost_${what} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
  crew_mpi_program_test(mpi crewrun3x2 mpi_arrays_lost_${what} ${what})
endforeach()
crew_mpi_program_test(mpi nodes3 mpi_arrays)
crew_mpi_program_test(mpi nodes3 mpi_arrays_room room)
crew_mpi_program_test(mpi hosts3 mpi_arrays)
crew_mpi_program_test(mpi_long nodes3x2 mpi_arrays)

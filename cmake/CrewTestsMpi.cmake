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

# crew_mpi_program(<target> <source> <library>...): one of tests/mpi.
function(crew_mpi_program target source)
  add_executable(${target} ${PROJECT_SOURCE_DIR}/tests/mpi/${source})
  target_link_libraries(${target} PRIVATE ${ARGN})
  set_target_properties(${target} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
endfunction()

# Under a launcher, see tests/mpi/under: crew_mpi_under(<test> <label> <config> <seconds>
# <target> [<argument>...] [TIMES <short> <long>] [ENVIRONMENT <name=value>...]). TIMES: how
# often it runs, and in long runs.
function(crew_mpi_under test label config seconds target)
  cmake_parse_arguments(PARSE_ARGV 5 with "" "" "TIMES;ENVIRONMENT")
  math(EXPR limit "${seconds} * ${CREW_TEST_SLOWNESS}")
  math(EXPR last "${limit} + 30") # what it takes to clean up is not the test's
  set(times "")
  if(with_TIMES)
    math(EXPR last "20 * ${limit}")
    list(JOIN with_TIMES " " times)
    set(times CREW_TEST_TIMES=${times})
  endif()
  add_test(NAME ${test} COMMAND ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config}
    $<TARGET_FILE:${target}> ${with_UNPARSED_ARGUMENTS})
  set(environment CREW_MPI_MODULE=${PROJECT_BINARY_DIR} CREW_TEST_SECONDS=${limit}
    CREW_TEST_LABEL=${label} ${with_ENVIRONMENT} ${times})
  set_tests_properties(${test} PROPERTIES LABELS ${label} TIMEOUT ${last} SKIP_RETURN_CODE 77
    RESOURCE_LOCK mpi ENVIRONMENT "${environment}")
endfunction()

crew_mpi_program(mpi_transport transport.c crew_test_base)
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
  crew_mpi_test(mpi.at_once.${flavour} ${flavour} 2 60 --nodes 0,1 ${transport} at_once)
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
crew_mpi_program(mpi_load_test load_test.c crew_test_base)
target_compile_definitions(mpi_load_test PRIVATE
  CREW_TEST_FAKE_MODULE="$<TARGET_FILE:mpi_fake_other>"
  CREW_TEST_GOOD_MODULE="$<TARGET_FILE:mpi_fake_good>")
add_dependencies(mpi_load_test mpi_fake_good mpi_fake_other crew_test_plugin)
crew_test(mpi.load mpi_load_test mpi 60)

add_test(NAME mpi.static COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/static.sh
  ${PROJECT_SOURCE_DIR} ${CMAKE_C_COMPILER})
set_tests_properties(mpi.static PROPERTIES LABELS mpi TIMEOUT 60 SKIP_RETURN_CODE 77)

# Pools over the ranks of jobs. crew_mpi_pool_tests(<config> <seconds> <label> <test>...): these
# conformance tests under a launcher.
function(crew_mpi_pool_tests config seconds label)
  foreach(test ${ARGN})
    if(NOT TARGET conformance_${test}_test)
      message(FATAL_ERROR "mpi.${config}.${test}: there is no such conformance test")
    endif()
    crew_mpi_under(mpi.${config}.${test} ${label} ${config} ${seconds} conformance_${test}_test)
  endforeach()
endfunction()
set(pool_tests map pool task bytes for_reduce future jobs imap slices stats edges failure
  wait_inside python_futures python_pool)
set(object_tests array array_address array_scope array_view barrier bind cond dict event guard
  handles list lock openmp pipe process process_wait queue sem shm shm_map value)
crew_mpi_pool_tests(two 120 mpi ${pool_tests} ${object_tests})
crew_mpi_pool_tests(four 120 mpi map pool future imap failure array lock queue process)
crew_mpi_pool_tests(nodes3 120 mpi ${pool_tests} journal journal_stream)
crew_mpi_pool_tests(nodes3 120 mpi array_scope shm_map value queue)
crew_mpi_pool_tests(mpich2 120 mpi map pool future failure array lock)
crew_mpi_pool_tests(mpichnodes2 120 mpi event array)
crew_mpi_pool_tests(hosts3 120 mpi map pool future imap failure)
# Tasks that run in the ranks themselves: CREW_ISOLATE=0.
crew_mpi_pool_tests(aboard2 120 mpi map failure)
crew_mpi_pool_tests(aboard4 120 mpi pool future)
crew_mpi_pool_tests(aboard3x2 120 mpi imap)
# The other provider of a node's memory: CREW_SEGMENT=window.
crew_mpi_pool_tests(window2 120 mpi map pool array)
crew_mpi_pool_tests(window3x2 120 mpi future)
crew_mpi_pool_tests(window3 60 mpi value) # a node of one rank has none, beside one that has
crew_mpi_pool_tests(windowmpich2 120 mpi map)
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
crew_mpi_program(mpi_shares shares.c crew_test_support crew_test_base)
crew_mpi_under(mpi.shares.nodes3 mpi nodes3 60 mpi_shares)
crew_mpi_under(mpi.shares.nodes3x2 mpi_long nodes3x2 60 mpi_shares)
crew_mpi_under(mpi.shares.hosts3 mpi_long hosts3 60 mpi_shares)

# A map that ranks of several nodes, or hosts, begin, and forked workers end: tests/mpi/resume.c.
crew_mpi_program(mpi_resume resume.c crew_test_base)
math(EXPR limit "60 * ${CREW_TEST_SLOWNESS}")
math(EXPR last "2 * ${limit}")
foreach(config hosts3 nodes3)
  set(label mpi)
  if(config STREQUAL nodes3)
    set(label mpi_long)
  endif()
  add_test(NAME mpi.resume.${config} COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/resume.sh
    ${PROJECT_SOURCE_DIR}/tests/mpi/under ${config} $<TARGET_FILE:mpi_resume>)
  set_tests_properties(mpi.resume.${config} PROPERTIES LABELS ${label} TIMEOUT ${last}
    SKIP_RETURN_CODE 77 RESOURCE_LOCK mpi
    ENVIRONMENT "CREW_MPI_MODULE=${PROJECT_BINARY_DIR};CREW_TEST_SECONDS=${limit};CREW_TEST_LABEL=${label}")
endforeach()

# The measurements of apps/bench, quickly: that they run.
if(TARGET bench AND TARGET crew_mpi_openmpi)
  math(EXPR bench_limit "120 * ${CREW_TEST_SLOWNESS}")
  add_test(NAME mpi.bench COMMAND sh ${PROJECT_SOURCE_DIR}/tests/mpi/bench.sh $<TARGET_FILE:bench>
    mpi-item mpi-textbook mpi-hosts mpi-hosts-64b mpi-hosts-100us mpi-hosts-random mpi-makespan
    mpi-manager mpi-bcast mpi-object mpi-object-queue mpi-object-hosts mpi-object-hosts-queue
    mpi-array-get-8b mpi-array-hosts-get-8b mpi-idle mpi-idle-nodes)
  set_tests_properties(mpi.bench PROPERTIES LABELS mpi TIMEOUT ${bench_limit} RESOURCE_LOCK mpi)
endif()

# Tasks that take several ranks: tests/mpi/gang.c, which calls MPI.
# crew_mpi_gang_tests(<label> <flavour> <config>...)
foreach(flavour openmpi mpich)
  if(TARGET crew_mpi_${flavour})
    crew_mpi_program(mpi_gang_${flavour} gang.c
      crew_test_support crew_test_base ${CREW_MPI_LINKS_${flavour}})
    target_include_directories(mpi_gang_${flavour} SYSTEM PRIVATE ${CREW_MPI_INCLUDES_${flavour}})
  endif()
endforeach()
function(crew_mpi_gang_tests label flavour)
  if(NOT TARGET mpi_gang_${flavour})
    return()
  endif()
  foreach(config ${ARGN})
    crew_mpi_under(mpi.gang.${config} ${label} ${config} 120 mpi_gang_${flavour})
  endforeach()
endfunction()
crew_mpi_gang_tests(mpi openmpi two aboard2 aboard4 aboard3 aboard3x2)
crew_mpi_gang_tests(mpi mpich aboardmpich2)
crew_mpi_gang_tests(mpi_long openmpi aboard1)
if(TARGET mpi_gang_openmpi) # a rank is lost
  crew_mpi_under(mpi.gang.crewaboard3x2 mpi crewaboard3x2 120 mpi_gang_openmpi
    ENVIRONMENT CREW_TEST_LOSS=1 TIMES 1 20)
endif()

# What is lost in the middle of maps: tests/mpi/lost.c.
crew_mpi_program(mpi_lost lost.c crew_test_support crew_test_base)
function(crew_mpi_lost_test label config loss)
  string(REPLACE " " "_" name ${loss})
  crew_mpi_under(mpi.lost.${config}.${name} ${label} ${config} 60 mpi_lost
    ENVIRONMENT CREW_TEST_LOSS=${loss} TIMES 2 20)
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
crew_mpi_program(mpi_stop stop.c crew_test_base)
function(crew_mpi_stop_test label config)
  foreach(whom ${ARGN})
    crew_mpi_under(mpi.stop.${config}.${whom} ${label} ${config} 60 mpi_stop ${whom}
      ENVIRONMENT CREW_TEST_EXPECTS=85 TIMES 1 20)
  endforeach()
endfunction()
crew_mpi_stop_test(mpi two rank0 rank1)
crew_mpi_stop_test(mpi nodes3x2 rank2 rank3 all late3 long early2)
crew_mpi_stop_test(mpi mpich2 rank1)
crew_mpi_stop_test(mpi aboard3 rank1)
crew_mpi_stop_test(mpi_long nodes3 rank0 rank1 all long)
crew_mpi_stop_test(mpi_long nodes3x2 rank0 rank1)
crew_mpi_stop_test(mpi_long hosts3x2 rank3)
crew_mpi_stop_test(mpi_long aboard2 rank0 rank1)

# Objects of one node used from all: tests/mpi/remote.h.
foreach(name remote remote_ends remote_long remote_lost remote_cut)
  crew_mpi_program(mpi_${name} ${name}.c crew_test_support crew_test_base)
endforeach()
function(crew_mpi_remote_tests label config)
  foreach(name remote remote_ends)
    crew_mpi_under(mpi.${name}.${config} ${label} ${config} 120 mpi_${name})
  endforeach()
endfunction()
function(crew_mpi_remote_lost_test label config loss)
  string(REPLACE " " "_" name ${loss})
  crew_mpi_under(mpi.remote_lost.${config}.${name} ${label} ${config} 60 mpi_remote_lost
    ENVIRONMENT CREW_TEST_LOSS=${loss} TIMES 1 20)
endfunction()
crew_mpi_remote_lost_test(mpi crewrun3x2 "leader 1")
crew_mpi_remote_lost_test(mpi crewhosts3 kill)
crew_mpi_remote_lost_test(mpi_long crewhosts3 unplug)
crew_mpi_under(mpi.remote_cut.crewhosts3 mpi crewhosts3 60 mpi_remote_cut TIMES 1 20)
crew_mpi_under(mpi.remote_cut.crewhosts3.cast mpi_long crewhosts3 60 mpi_remote_cut cast TIMES 1 20)
crew_mpi_remote_tests(mpi nodes3)
crew_mpi_remote_tests(mpi hosts3)
crew_mpi_remote_tests(mpi_long nodes3x2)
crew_mpi_under(mpi.remote_long.nodes3 mpi nodes3 60 mpi_remote_long)
crew_mpi_under(mpi.remote_long.hosts3 mpi_long hosts3 120 mpi_remote_long)
# Of the others bind, cut, array_address and stop are about one node, or start programs of
# their own, and skip every case there.
crew_mpi_pool_tests(nodes3 120 mpi_long array array_view barrier cond dict event guard handles list
  lock openmp pipe process process_wait sem shm)
crew_mpi_pool_tests(nodes3x2 120 mpi_long ${object_tests})
crew_mpi_pool_tests(mpichnodes2 120 mpi_long map pool future imap failure array_scope array_view
  barrier cond dict guard handles list lock pipe process queue sem shm_map value)
crew_mpi_pool_tests(windowmpich2 120 mpi_long pool array array_scope array_view future dict queue)

# How programs end: tests/mpi/ends.c. crew_mpi_ends_test(<label> <config> <how>...)
crew_mpi_program(mpi_ends ends.c crew_test_base ${CMAKE_DL_LIBS})
set_target_properties(mpi_ends PROPERTIES ENABLE_EXPORTS ON)
set(code_crashes 139)
set(code_killed 137)
set(code_terminated 143)
set(code_leader lost)
set(code_host lost)
set(code_silent 1)
set(times_silent 1 20)
set(times_paused 1 20)
set(silence_paused CREW_NODE_TIMEOUT=1)
# mpirun is to notice later than crew: 5 s after it heard something last.
set(silence_silent OMPI_MCA_oob_tcp_keepalive_intvl=2
  "CREW_TEST_SAYS=crew: node h1 (rank 1) was lost: nothing was heard of it for ")
# Crew notices before mpirun does.
foreach(host h0 h1 head)
  set(code_unplugged_${host} lost)
  set(times_unplugged_${host} 1 20)
  set(says "on node ${host}")
  if(host STREQUAL head)
    set(says "lost communication")
  endif()
  # 2 s of silence, for who ends the ranks takes up to 2 s more.
  set(silence_unplugged_${host} CREW_NODE_TIMEOUT=1 OMPI_MCA_oob_tcp_keepalive_probes=1
    "CREW_TEST_SAYS=${says}")
endforeach()
function(crew_mpi_ends_test label config)
  foreach(how ${ARGN})
    string(REPLACE " " "_" name ${how})
    string(REPLACE " " ";" arguments ${how})
    set(code 3)
    set(times 2 20)
    if(DEFINED times_${name})
      set(times ${times_${name}})
    endif()
    if(DEFINED code_${name})
      set(code ${code_${name}})
    endif()
    crew_mpi_under(mpi.ends.${config}.${name} ${label} ${config} 60 mpi_ends ${arguments}
      ENVIRONMENT CREW_TEST_EXPECTS=${code} ${silence_${name}} TIMES ${times})
  endforeach()
endfunction()
crew_mpi_ends_test(mpi two returns exits crashes)
crew_mpi_ends_test(mpi mpich2 returns finalizes killed leader)
crew_mpi_ends_test(mpi nodes3 returns exits crashes killed leader paused)
crew_mpi_ends_test(mpi hosts3 killed host)
crew_mpi_ends_test(mpi headhosts3 silent)
crew_mpi_ends_test(mpi hosts3 "unplugged h0" "unplugged h1" "unplugged head")
crew_mpi_ends_test(mpi crewrun3x2 exits "last 3")
crew_mpi_ends_test(mpi_long two finalizes killed terminated leader)
crew_mpi_ends_test(mpi_long mpich2 exits crashes terminated)
crew_mpi_ends_test(mpi_long nodes3 finalizes terminated)
crew_mpi_ends_test(mpi_long hosts3 returns exits finalizes crashes terminated)
set(code_unplugged_head 1) # where mpirun is the manager does not wait for it
set(silence_unplugged_head CREW_NODE_TIMEOUT=1 "CREW_TEST_SAYS=was lost")
crew_mpi_ends_test(mpi_long headhosts3 "unplugged head")
crew_mpi_ends_test(mpi_long nodes3x2 leader)
crew_mpi_ends_test(mpi_long crewrun3x2 returns finalizes crashes killed terminated "last 1" "last 2")
crew_mpi_under(mpi.ends.nodes3.stalled mpi nodes3 60 mpi_ends stalled 1 2500)
foreach(rank 1 3) # one follows the manager, one leads a node
  crew_mpi_under(mpi.ends.nodes3x2.stalled_${rank} mpi_long nodes3x2 60 mpi_ends stalled ${rank} 8000)
endforeach()

# What somebody sees who starts a program: tests/mpi/launched.sh.
crew_mpi_program(mpi_launched launched.c crew_flags crew::crew)
add_test(NAME mpi.launched COMMAND bash ${PROJECT_SOURCE_DIR}/tests/mpi/launched.sh
  $<TARGET_FILE:mpi_launched>)
math(EXPR limit "90 * ${CREW_TEST_SLOWNESS}")
set_tests_properties(mpi.launched PROPERTIES LABELS mpi TIMEOUT ${limit} SKIP_RETURN_CODE 77
  RESOURCE_LOCK mpi ENVIRONMENT CREW_MPI_MODULE=${PROJECT_BINARY_DIR})

# Processes on other nodes: tests/mpi/processes.c.
crew_mpi_program(mpi_processes processes.c crew_test_support crew_test_base ${CMAKE_DL_LIBS})
target_compile_definitions(mpi_processes PRIVATE
  CREW_TEST_PLUGIN="$<TARGET_FILE:crew_test_plugin>")
add_dependencies(mpi_processes crew_test_plugin)
# crew_mpi_program_test(<label> <config> <target> [<argument>...])
function(crew_mpi_program_test label config target)
  string(REGEX REPLACE "^mpi_" "" name ${target})
  crew_mpi_under(mpi.${name}.${config} ${label} ${config} 60 ${target} ${ARGN})
endfunction()
crew_mpi_program_test(mpi nodes3 mpi_processes)
crew_mpi_program_test(mpi_long nodes3x2 mpi_processes)
crew_mpi_program_test(mpi_long hosts3 mpi_processes)
crew_mpi_program_test(mpi_long aboard3 mpi_processes)
# With ends of pipes: tests/mpi/process_conns.c.
crew_mpi_program(mpi_process_conns process_conns.c crew_test_support crew_test_base)
crew_mpi_program_test(mpi nodes3 mpi_process_conns)
crew_mpi_program_test(mpi hosts3 mpi_process_conns)
crew_mpi_program_test(mpi_long nodes3x2 mpi_process_conns)
crew_mpi_program_test(mpi_long aboard3 mpi_process_conns)

# Pools that begin and end: tests/mpi/pools.c.
crew_mpi_program(mpi_pools pools.c crew_test_support crew_test_base)
crew_mpi_program_test(mpi nodes3 mpi_pools)

# Who waits sleeps: tests/mpi/idle.c.
crew_mpi_program(mpi_idle idle.c crew_test_support crew_test_base)
crew_mpi_program_test(mpi four mpi_idle)
crew_mpi_program_test(mpi nodes3 mpi_idle)
crew_mpi_program_test(mpi_long mpich2 mpi_idle)
crew_mpi_program_test(mpi_long nodes3x2 mpi_idle)

# One picture of all nodes: tests/mpi/places.c, and what `crew info` prints of it.
crew_mpi_program(mpi_places places.c crew_test_support crew_test_base)
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
crew_mpi_program(mpi_impostor impostor.c crew_test_base)
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
  crew_mpi_program(${target} own.c crew_flags crew::mpi-${flavour} Threads::Threads)
  set(ranks 2)
  if(flavour STREQUAL openmpi)
    set(ranks 4)
  endif()
  foreach(level funneled multiple)
    crew_mpi_test(mpi.own.${flavour}.${level} ${flavour} ${ranks} 60 $<TARGET_FILE:${target}> ${level})
    crew_mpi_test(mpi.own.${flavour}.${level}.nodes ${flavour} ${ranks} 60 --nodes 0,1,2,1
      $<TARGET_FILE:${target}> ${level})
  endforeach()
  crew_mpi_program(mpi_own_ends_${flavour} own_ends.c crew_flags crew::mpi-${flavour} Threads::Threads
    ${CMAKE_DL_LIBS})
  set_target_properties(mpi_own_ends_${flavour} PROPERTIES ENABLE_EXPORTS ON)
  set(level funneled)
  if(flavour STREQUAL openmpi)
    set(level multiple)
  endif()
  if(NOT CREW_SANITIZE) # it limits addresses
    crew_mpi_test(mpi.own_ends.${flavour}.${level}.small ${flavour} 4 20 --nodes 0,0,1,1
      $<TARGET_FILE:mpi_own_ends_${flavour}> ${level} small)
  endif()
  crew_mpi_test(mpi.own_ends.${flavour}.multiple.open ${flavour} 2 20 --nodes 0,1
    $<TARGET_FILE:mpi_own_ends_${flavour}> multiple open)
  crew_mpi_test(mpi.own_ends.${flavour}.funneled.past ${flavour} 2 20 --nodes 0,1
    $<TARGET_FILE:mpi_own_ends_${flavour}> funneled past)
  if(flavour STREQUAL openmpi)
    crew_mpi_test(mpi.own_ends.${flavour}.funneled.away ${flavour} 4 20 --nodes 0,0,1,1 --recovery
      env CREW_NODE_TIMEOUT=1 $<TARGET_FILE:mpi_own_ends_${flavour}> funneled away)
  endif()
  get_target_property(links crew_mpi_${flavour} INTERFACE_LINK_LIBRARIES)
  get_target_property(includes crew_mpi_${flavour} INTERFACE_INCLUDE_DIRECTORIES)
  list(REMOVE_ITEM links crew)
  crew_mpi_program(mpi_late_${flavour} late.c crew_flags crew::crew ${links})
  target_include_directories(mpi_late_${flavour} SYSTEM PRIVATE ${includes})
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
  crew_mpi_program(mpi_clean clean.c crew_test_support crew_test_base)
  crew_mpi_program_test(mpi nodes3 mpi_clean $<TARGET_FILE:primes>)
  crew_mpi_program_test(mpi_long two mpi_clean $<TARGET_FILE:primes>)
endif()

# Arrays over several nodes: tests/mpi/arrays.c.
crew_mpi_program(mpi_arrays arrays.c crew_test_support crew_test_base)
crew_mpi_program(mpi_arrays_room arrays.c crew_test_support crew_test_base)
foreach(what bcast reduce parts)
  crew_mpi_program(mpi_arrays_lost_${what} arrays_lost.c crew_test_support crew_test_base)
  crew_mpi_program_test(mpi crewrun3x2 mpi_arrays_lost_${what} ${what} TIMES 1 20)
endforeach()
# What is read one-sided, and the same without.
add_executable(mpi_reach ${PROJECT_SOURCE_DIR}/tests/mpi/reach.c)
add_executable(mpi_reach_off ${PROJECT_SOURCE_DIR}/tests/mpi/reach.c)
foreach(name reach reach_off)
  target_link_libraries(mpi_${name} PRIVATE crew_test_support crew_test_base)
  set_target_properties(mpi_${name} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/mpi)
endforeach()
crew_mpi_program_test(mpi nodes3 mpi_reach)
crew_mpi_program_test(mpi_long nodes3x2 mpi_reach)
crew_mpi_program_test(mpi_long hosts3 mpi_reach)
crew_mpi_program_test(mpi_long nodes3 mpi_reach_off)
crew_mpi_program_test(mpi nodes3 mpi_arrays)
crew_mpi_program_test(mpi nodes3 mpi_arrays_room room)
crew_mpi_program_test(mpi hosts3 mpi_arrays)
crew_mpi_program_test(mpi_long nodes3x2 mpi_arrays)

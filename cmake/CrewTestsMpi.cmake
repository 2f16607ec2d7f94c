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
foreach(fake good:1 other:999)
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

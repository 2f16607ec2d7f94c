# What every target of this project is compiled with: link to crew_flags, PRIVATE.
add_library(crew_flags INTERFACE)
target_compile_definitions(crew_flags INTERFACE _GNU_SOURCE)
target_compile_options(crew_flags INTERFACE -Wall -Wextra -Wpedantic)
if(CREW_WERROR)
  target_compile_options(crew_flags INTERFACE -Werror)
endif()

if(CREW_SANITIZE)
  target_compile_options(crew_flags INTERFACE
    -fsanitize=${CREW_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(crew_flags INTERFACE -fsanitize=${CREW_SANITIZE})
  # gcc warns of every fence under this sanitizer, which does not model them.
  if(CREW_SANITIZE STREQUAL "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(crew_flags INTERFACE -Wno-tsan)
  endif()
endif()

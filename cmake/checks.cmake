# Tests that look at the sources and at the installed library instead of running its code.
foreach(check text sizes calls includes headers format)
  add_test(NAME style_${check} COMMAND sh ${PROJECT_SOURCE_DIR}/tests/check_style.sh ${check})
  set_tests_properties(style_${check} PROPERTIES LABELS style SKIP_RETURN_CODE 77)
endforeach()

if(NOT RONDO_SANITIZE)
  set(tools CC=${CMAKE_C_COMPILER} CXX=${CMAKE_CXX_COMPILER} NM=${CMAKE_NM} CMAKE=${CMAKE_COMMAND}
    CMAKE_GENERATOR=${CMAKE_GENERATOR})
  foreach(check exports cmake pkgconfig)
    add_test(NAME consumer_${check}
      COMMAND sh ${PROJECT_SOURCE_DIR}/tests/consumer/run.sh ${check} ${PROJECT_BINARY_DIR})
    set_tests_properties(consumer_${check} PROPERTIES LABELS consumer SKIP_RETURN_CODE 77 RESOURCE_LOCK install
      ENVIRONMENT "${tools}")
  endforeach()
endif()

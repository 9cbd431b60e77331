# The live page: its files and the packaged chart library, built into freshet_monitor.
find_path(FRESHET_DYGRAPHS dygraph.min.js PATHS /usr/share/javascript/dygraphs /usr/share/nodejs/dygraphs/dist)
if(NOT FRESHET_DYGRAPHS)
  message(FATAL_ERROR "dygraphs not found: install it with: apt-get install libjs-dygraphs")
endif()
set(page ${CMAKE_SOURCE_DIR}/monitor/page)
set(page_files
  "/|text/html|${page}/index.html"
  "/page.css|text/css|${page}/page.css"
  "/page.js|text/javascript|${page}/page.js"
  "/panels.js|text/javascript|${page}/panels.js"
  "/icon.svg|image/svg+xml|${page}/icon.svg"
  "/dygraph.js|text/javascript|${FRESHET_DYGRAPHS}/dygraph.min.js"
  "/dygraph.css|text/css|${FRESHET_DYGRAPHS}/dygraph.min.css")
file(GLOB page_sources CONFIGURE_DEPENDS ${page}/*)
set(page_c ${CMAKE_BINARY_DIR}/page_files.c)
add_custom_command(OUTPUT ${page_c}
  COMMAND ${CMAKE_COMMAND} -DOUT=${page_c} "-DFILES=${page_files}" -P ${CMAKE_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${page_sources} ${CMAKE_SOURCE_DIR}/cmake/embed.cmake VERBATIM)
target_sources(freshet_monitor PRIVATE ${page_c})

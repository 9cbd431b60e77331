# What a service links: libfreshet_scorer.so, its header and its pkg-config file. Only the functions
# of freshet_scorer.h are visible in it.
include(GNUInstallDirs)
file(GLOB scorer_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/scorer/*.c)
add_library(freshet_scorer_shared SHARED ${scorer_sources})
target_link_libraries(freshet_scorer_shared PRIVATE freshet_record freshet_model freshet::hiredis
  freshet_compile)
target_link_options(freshet_scorer_shared PRIVATE
  -Wl,--version-script=${CMAKE_SOURCE_DIR}/scorer/freshet_scorer.map)
set_target_properties(freshet_scorer_shared PROPERTIES OUTPUT_NAME freshet_scorer
  VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS ${CMAKE_SOURCE_DIR}/scorer/freshet_scorer.map)
file(RELATIVE_PATH FRESHET_PC_UP /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${CMAKE_SOURCE_DIR}/scorer/freshet_scorer.pc.in freshet_scorer.pc @ONLY)
install(TARGETS freshet_scorer_shared LIBRARY COMPONENT scorer NAMELINK_COMPONENT scorer)
install(FILES ${CMAKE_SOURCE_DIR}/scorer/freshet_scorer.h TYPE INCLUDE COMPONENT scorer)
install(FILES ${CMAKE_BINARY_DIR}/freshet_scorer.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT scorer)

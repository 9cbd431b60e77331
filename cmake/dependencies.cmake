# Finds each library; a missing one stops configuration with the command that installs it.
function(freshet_dependency target package header library)
  find_path(${target}_header ${header} PATH_SUFFIXES openblas x86_64-linux-gnu aarch64-linux-gnu
            x86_64-linux-gnu/openblas-pthread aarch64-linux-gnu/openblas-pthread)
  find_library(${target}_library NAMES ${library})
  if(NOT ${target}_header OR NOT ${target}_library)
    message(FATAL_ERROR "${target} not found: install it with: apt-get install ${package}")
  endif()
  add_library(freshet::${target} UNKNOWN IMPORTED)
  set_target_properties(freshet::${target} PROPERTIES
    IMPORTED_LOCATION "${${target}_library}"
    INTERFACE_INCLUDE_DIRECTORIES "${${target}_header}")
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
freshet_dependency(xxhash     libxxhash-dev              xxhash.h              xxhash)
freshet_dependency(zlib       zlib1g-dev                 zlib.h                z)
freshet_dependency(yaml       libyaml-dev                yaml.h                yaml)
freshet_dependency(rdkafka    librdkafka-dev             librdkafka/rdkafka.h  rdkafka)
freshet_dependency(avro       libavro-dev                avro.h                avro)
freshet_dependency(jansson    libjansson-dev             jansson.h             jansson)
freshet_dependency(blas       libopenblas-pthread-dev    cblas.h               openblas)
freshet_dependency(rocksdb    librocksdb-dev             rocksdb/c.h           rocksdb)
freshet_dependency(curl       libcurl4-openssl-dev       curl/curl.h           curl)
freshet_dependency(hiredis    libhiredis-dev             hiredis/hiredis.h     hiredis)
freshet_dependency(microhttpd libmicrohttpd-dev          microhttpd.h          microhttpd)
freshet_dependency(cmocka     libcmocka-dev              cmocka.h              cmocka)

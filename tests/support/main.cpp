// SPDX-License-Identifier: MIT
// Every test program's main: Catch2's, after the supervisor's, since steps re-execute the running program.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

#include "common/process/process.h"

int main(int argc, char** argv) {
    baton::process::supervise_if_asked(argc, argv);
    return Catch::Session().run(argc, argv);
}

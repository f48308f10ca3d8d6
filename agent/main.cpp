// SPDX-License-Identifier: MIT
// The program's entry: the supervisor of a step, or the command line.
#include "agent/agent.h"
#include "agent/cli/cli.h"
#include "common/process/process.h"

int main(int argc, char** argv) {
    baton::process::supervise_if_asked(argc, argv);
    return baton::cli::run_cli(argc, argv, baton::run_agent);
}

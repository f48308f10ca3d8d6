// SPDX-License-Identifier: MIT
// The program's entry: nothing but a call of what is tested elsewhere.
int main() { return 0; }

/* A program without CUDA that opens its CUDA part, hidden, uses and closes it, twice. simt must stay: its counts must be
 * found by name, its exit status and its report must come at exit and not at the dlclose.
 *   opens MODULE [fault] */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **arguments) {
  int (*counts)(const char *);
  *(void **)&counts = dlsym(RTLD_DEFAULT, "simt_count");
  if (counts) return 1; /* the runtime is not loaded yet */
  for (int round = 1; round <= 2; round++) {
    int numbers[4] = {1, 2, 3, 4}, (*add_three)(int *, int, int);
    void *module = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (!module) { puts(dlerror()); return 2; }
    *(void **)&add_three = dlsym(module, "add_three");
    if (!add_three || add_three(numbers, 4, 0)) return 3;
    for (int i = 0; i < 4; i++) if (numbers[i] != i + 4) return 4;
    if (round == 2 && count > 2 && add_three(numbers, 4, 1)) return 5;
    if (dlclose(module)) return 6;
    *(void **)&counts = dlsym(RTLD_DEFAULT, "simt_count");
    if (!counts || counts("allocations") != round + (round == 2 && count > 2)) return 7;
  }
  void *driver = dlopen("libcuda.so.1", RTLD_NOW); /* finds the hidden runtime */
  int devices = 0, (*get)(int *);
  *(void **)&get = driver ? dlsym(driver, "cuDeviceGetCount") : NULL;
  if (!get || get(&devices) || (devices != 1 && count < 3)) return 8;
  puts("ok");
  return 0;
}

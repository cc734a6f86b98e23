/* options.c - reads the command line; every argument that does not fit the others gets a sentence. */
#define _GNU_SOURCE /* getopt_long, sysconf */
#include "options.h"

#include "shapes.h"
#include "words.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_THREADS = 1024 }; /* of a context */

static const char usage[] =
    "usage: bench_lstm [PROBLEM...] [options]\n"
    "Checks each problem against the formulas in double, then times it. PROBLEM is a name of --list or a problem "
    "string\n"
    "such as lstm:n1t25c512h512 or gru:... (batch, timesteps, inputs, units; then l2 for two layers, :bi for both\n"
    "directions, :time for time-major, ...).\n"
    "Without one: all of --list that the library offers, and recorded speech.\n"
    "\n"
    "What is measured, if not the table:\n"
    "  --ladder                            each problem from plain loops to the fastest way, and what each step gains\n"
    "  --growth                            how time grows with timesteps, batch, units and threads\n"
    "  --sessions                          one step of 1, 4, 16 and 64 of 4096 sessions; a PROBLEM gives the layer\n"
    "  --worker                            answer the line protocol of bench/peers on stdin and stdout\n"
    "  --list, --help, --version\n"
    "\n"
    "How:\n"
    "  --backend reference|cpu|cuda|auto   where to run; auto: cuda if it works, else cpu (the default)\n"
    "  --algorithm auto|stepwise|hoisted|persistent\n"
    "  --precision f32|tf32                tf32: cuda may round products' inputs to 10 bits\n"
    "  --weights %s\n"
    "                                      how the weights are kept\n"
    "  --training                          time forward and backward: dx and the gradients of all weights\n"
    "  --dropout R, --recurrent-dropout R  rates, with --training\n"
    "  --recompute                         with --training: gates are made again, not kept\n"
    "  --lengths full|uniform              uniform: sequences end anywhere in 1..T\n"
    "  --threads N                         of the cpu backend (1); with --ladder and --growth the most (all cores)\n"
    "  --isa %s\n"
    "                                      the newest instruction set that the cpu backend may use\n"
    "  --seconds S                         how long to time each problem (1)\n"
    "  --real FILE                         stream the recorded speech of FILE, frame by frame\n"
    "\n"
    "What is written:\n"
    "  --json FILE|-                       all figures as JSON; -: to stdout, in place of the table\n"
    "  --plot FILE                         the table or --growth as an SVG picture, by gnuplot\n"
    "  --peers FILE                        with --plot: peers too, from what bench/peers/compare.py --json wrote\n";

void options_usage(void) {
  char types[WORDS_TEXT], isas[WORDS_TEXT];
  printf(usage, words_join(words_weights(), "|", types), words_join(words_isa(), "|", isas));
}

/* The place of the option's word in words; or -1, and the sentence is printed. */
static int choose(const char *option, const char *word, const char *const words[]) {
  char text[WORDS_TEXT];
  int found = words_find(words, word);
  if (found < 0) refuse("--%s %s is not one of %s", option, word, words_join(words, ", ", text));
  return found;
}

/* The option's number; or -1, and the sentence is printed. */
static double number(const char *option, const char *text, double least, double most) {
  char *end;
  double value = strtod(text, &end);
  if (end != text && !*end && value >= least && value <= most) return value;
  refuse("--%s %s is not a number in %g..%g", option, text, least, most);
  return -1;
}

/* Modes by their option's letter: all after MODE_TABLE. */
static const char mode_letters[] = " 12swlhv";

static const struct option long_options[] = {
    {"ladder", no_argument, NULL, '1'},
    {"growth", no_argument, NULL, '2'},
    {"sessions", no_argument, NULL, 's'},
    {"worker", no_argument, NULL, 'w'},
    {"list", no_argument, NULL, 'l'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},
    {"backend", required_argument, NULL, 'b'},
    {"algorithm", required_argument, NULL, 'a'},
    {"precision", required_argument, NULL, 'p'},
    {"weights", required_argument, NULL, 'W'},
    {"training", no_argument, NULL, 'T'},
    {"dropout", required_argument, NULL, 'd'},
    {"recurrent-dropout", required_argument, NULL, 'R'},
    {"recompute", no_argument, NULL, 'c'},
    {"lengths", required_argument, NULL, 'L'},
    {"threads", required_argument, NULL, 't'},
    {"isa", required_argument, NULL, 'i'},
    {"seconds", required_argument, NULL, 'S'},
    {"real", required_argument, NULL, 'r'},
    {"json", required_argument, NULL, 'j'},
    {"plot", required_argument, NULL, 'P'},
    {"peers", required_argument, NULL, 'C'},
    {NULL, 0, NULL, 0},
};

/* 0, and the sentence is printed, after another one. */
static int take_mode(options *o, mode wanted) {
  if (o->mode && o->mode != wanted && wanted <= MODE_WORKER && o->mode <= MODE_WORKER)
    return refuse("only one of --ladder, --growth, --sessions and --worker is possible"), 0;
  if (wanted > o->mode) o->mode = wanted; /* --help wins */
  return 1;
}

/* One option; 0 when its argument is none. */
static int take_option(options *o, int letter) {
  int choice = 0;
  double value = 0;
  const char *found = strchr(mode_letters, letter);
  if (found) return take_mode(o, (mode)(found - mode_letters));
  switch (letter) {
    case 'b': choice = choose("backend", optarg, words_backend), o->context.backend = (rondo_backend)choice; break;
    case 'a': choice = choose("algorithm", optarg, words_algorithm), o->algorithm = (rondo_algorithm)choice; break;
    case 'i': choice = choose("isa", optarg, words_isa()), o->context.max_isa = (rondo_isa)choice; break;
    case 'p': choice = choose("precision", optarg, words_precision), o->allow_tf32 = choice == 1; break;
    case 'W': choice = choose("weights", optarg, words_weights()), o->weights = (rondo_dtype)choice; break;
    case 'L': choice = choose("lengths", optarg, words_lengths), o->ragged = choice == 1; break;
    case 'd': value = number("dropout", optarg, 0, 0.99), o->dropout = (float)value; break;
    case 'R': value = number("recurrent-dropout", optarg, 0, 0.99), o->recurrent_dropout = (float)value; break;
    case 'T': o->training = 1; break;
    case 'c': o->recompute = 1; break;
    case 't': value = number("threads", optarg, 1, MOST_THREADS), o->context.threads = (int)value; break;
    case 'S': value = number("seconds", optarg, 0, 3600), o->seconds = value; break;
    case 'r': o->speech = optarg; break;
    case 'j': o->json = optarg; break;
    case 'P': o->plot = optarg; break;
    case 'C': o->peers = optarg; break;
    default: return 0; /* getopt_long has printed a sentence */
  }
  return choice >= 0 && value >= 0;
}

/* ---- what does not go together ----------------------------------------------------------------------------------- */

/* A worker is told of training line by line. */
static exit_code check_training(const options *o) {
  int trains = o->training || o->mode == MODE_WORKER;
  if (o->dropout > 0 && !trains) return refuse("--dropout is for --training");
  if (o->recurrent_dropout > 0 && !trains) return refuse("--recurrent-dropout is for --training");
  if (o->recompute && !trains) return refuse("--recompute is for --training");
  if (o->training && o->speech) return refuse("--real is not for --training");
  if (o->training && o->mode == MODE_WORKER) return refuse("--worker is told of training on stdin");
  if (o->training && o->mode == MODE_SESSIONS) return refuse("--training is not for --sessions");
  return EXIT_FINE;
}

/* The ladder is of the CPU, and weights and lengths are rungs of it. */
static exit_code check_ladder(const options *o) {
  if (o->context.backend != RONDO_BACKEND_AUTO && o->context.backend != RONDO_CPU)
    return refuse("--ladder is of the cpu backend, not of %s", words_backend[o->context.backend]);
  if (o->weights != RONDO_F32) return refuse("--weights is not for --ladder, which has all types that are offered");
  return o->ragged ? refuse("--lengths is not for --ladder, which has both") : EXIT_FINE;
}

static exit_code check_mode(const options *o) {
  static const char *const names[] = {"", "--ladder", "--growth", "--sessions", "--worker", "--list", "", ""};
  const char *name = names[o->mode];
  if (o->speech && o->mode != MODE_TABLE) return refuse("--real is not for %s", name);
  if (o->plot && o->mode != MODE_TABLE && o->mode != MODE_GROWTH) return refuse("--plot is not for %s", name);
  if (o->peers && (!o->plot || o->mode != MODE_TABLE)) return refuse("--peers is for --plot of the table");
  if (o->json && o->mode == MODE_WORKER) return refuse("--json is not for --worker");
  if (o->mode == MODE_WORKER && o->ragged)
    return refuse("--lengths is not for --worker, which is told of them on stdin");
  if (o->mode == MODE_WORKER && o->problem_count)
    return refuse("--worker takes its problems from stdin, not %s", o->problems[0]);
  if (o->mode == MODE_SESSIONS && o->ragged) return refuse("--lengths is not for --sessions, which have one timestep");
  if (o->mode == MODE_GROWTH && o->problem_count > 1) return refuse("--growth is of one problem");
  return o->mode == MODE_LADDER ? check_ladder(o) : EXIT_FINE;
}

static exit_code check_problem(const options *o, const char *text) {
  problem p;
  char message[PROBLEM_TEXT];
  if (!problem_parse(&p, shape_problem(text), message, sizeof message))
    return refuse("%s is neither a name of --list nor a problem string: %s", text, message);
  if (o->ragged && p.mask) return refuse("--lengths is not for %s, which has a mask", text);
  if (o->ragged && !problem_has_state(&p)) return refuse("--lengths is not for %s: dense, it skips no timestep", text);
  if (!o->training && problem_trains(&p)) return refuse("%s has dropout or recompute, which are for --training", text);
  if (o->mode == MODE_LADDER && p.weights != RONDO_F32)
    return refuse("%s has a type of weights, and --ladder has all types that are offered", text);
  if (o->mode == MODE_SESSIONS && (!problem_has_state(&p) || p.bidirectional))
    return refuse("%s has no state to carry from step to step, so --sessions is not for it", text);
  return EXIT_FINE;
}

static int all_cores(void) {
  long cores = sysconf(_SC_NPROCESSORS_ONLN); /* -1: the system does not say */
  return cores < 1 ? 1 : cores > MOST_THREADS ? MOST_THREADS : (int)cores;
}

exit_code options_read(options *o, int argc, char **argv) {
  *o = (options){.seconds = 1};
  for (int letter; (letter = getopt_long(argc, argv, "", long_options, NULL)) != -1;)
    if (!take_option(o, letter)) return EXIT_USAGE;
  o->problems = (const char **)argv + optind;
  o->problem_count = argc - optind;
  for (int i = 0; i < o->problem_count; i++)
    if (check_problem(o, o->problems[i]) != EXIT_FINE) return EXIT_USAGE;
  if (!o->context.threads) o->context.threads = o->mode == MODE_LADDER || o->mode == MODE_GROWTH ? all_cores() : 1;
  exit_code code = check_mode(o);
  return code == EXIT_FINE ? check_training(o) : code;
}

/* ---- what follows from them -------------------------------------------------------------------------------------- */

rondo_plan_desc options_plan(const options *o, problem *p) {
  p->allow_tf32 |= o->allow_tf32;
  p->recompute |= o->recompute;
  if (o->weights != RONDO_F32) p->weights = o->weights;
  if (o->dropout > 0) p->dropout = o->dropout;
  if (o->recurrent_dropout > 0) p->recurrent_dropout = o->recurrent_dropout;
  rondo_plan_desc desc = problem_plan_desc(p);
  desc.algorithm = o->algorithm;
  desc.training |= o->training;
  return desc;
}

rondo_context *options_context(const options *o) {
  rondo_context *ctx = NULL;
  if (rondo_context_create(&ctx, &o->context) != RONDO_OK)
    refuse("--backend %s cannot run here: %s", words_backend[o->context.backend], rondo_last_error());
  return ctx;
}

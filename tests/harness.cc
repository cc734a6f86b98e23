// harness.cc - gives the rows of tests.c to GoogleTest. The only C++ file: what can be said in C is in harness.c.
#include "harness.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

namespace {

constexpr int kMostMessages = 10;  // of one test; what fails once in a loop tends to fail often

std::mutex lock;  // of the two below: EXPECT may be used from any thread
int messages;
struct worst {
  double ratio;
  std::string what;
};
std::map<std::string, worst> ratios;  // by suite

std::string format(const char *text, va_list arguments) {
  char line[2000];
  vsnprintf(line, sizeof line, text, arguments);
  return line;
}

void fail(const char *file, int line, const std::string &message) {
  {
    std::lock_guard<std::mutex> held(lock);
    if (messages++ >= kMostMessages) return;
  }
  char report[1000];
  test_report(report, sizeof report);
  ADD_FAILURE_AT(file, line) << message << report;
}

std::string here() {
  const testing::TestInfo *info = testing::UnitTest::GetInstance()->current_test_info();
  return std::string(info->test_suite_name()) + "." + info->name();
}

class Row : public testing::Test {
 public:
  Row(const test_row *row, const void *parameter, const test_variant *variant)
      : row_(row), parameter_(parameter), variant_(variant) {
  }

  void TestBody() override {
    messages = 0;
    test_begin(variant_, here().c_str());
    row_->run(parameter_);
    test_end();
  }

 private:
  const test_row *row_;
  const void *parameter_;
  const test_variant *variant_;
};

// GoogleTest's filters give ':' and '-' a meaning.
std::string filterable(std::string name) {
  for (char &c : name) c = c == ':' ? '/' : c == '-' ? '_' : c;
  return name;
}

void add_one(const std::string &suite, const std::string &name, const test_row *row, const void *parameter,
             const test_variant *variant) {
  testing::RegisterTest(suite.c_str(), filterable(name).c_str(), nullptr, nullptr, __FILE__, __LINE__,
                        [=]() -> Row * { return new Row(row, parameter, variant); });
}

void add_row(const std::string &suite, const test_row *row, const test_variant *variant) {
  if (!row->table) return add_one(suite, row->name, row, nullptr, variant);
  const char *element = static_cast<const char *>(row->table);
  for (;; element += row->table_row) {
    const char *name = *reinterpret_cast<const char *const *>(element);
    if (!name) return;
    // An array of names alone is a table too: then the name itself is the parameter.
    const void *parameter = row->table_row == sizeof name ? static_cast<const void *>(name) : element;
    add_one(suite, std::string(row->name) + "/" + name, row, parameter, variant);
  }
}

void add_suite(const test_suite *suite) {
  if (suite->where == TEST_ONCE)
    for (const test_row *row = suite->rows; row->name; row++) add_row(suite->name, row, nullptr);
  for (const test_variant *v = test_variants; v->name; v++) {
    if (!(suite->where & test_where_of(v))) continue;
    for (const test_row *row = suite->rows; row->name; row++) add_row(std::string(suite->name) + "/" + v->name, row, v);
  }
}

void print_ratios() {
  if (ratios.empty()) return;
  printf("Largest error of each suite as a share of its derived bound:\n");
  for (const auto &[suite, worst] : ratios)
    printf("  %-28s %7.4f  %s\n", suite.c_str(), worst.ratio, worst.what.c_str());
}

// Of a run without failures: that nothing was tested is not success. 77: ctest's word for skipped.
int verdict() {
  const testing::UnitTest *run = testing::UnitTest::GetInstance();
  if (GTEST_FLAG_GET(list_tests) || run->successful_test_count() > 0) return 0;
  printf(run->skipped_test_count() ? "Everything was skipped.\n" : "No test has such a name.\n");
  return run->skipped_test_count() ? 77 : 1;
}

}  // namespace

int test_fail(const char *file, int line, const char *what, const char *text, ...) {
  va_list arguments;
  va_start(arguments, text);
  std::string message = format(text, arguments);
  va_end(arguments);
  fail(file, line, std::string(what) + ": " + message);
  return 0;
}

void test_skip(const char *text, ...) {
  va_list arguments;
  va_start(arguments, text);
  std::string message = format(text, arguments);
  va_end(arguments);
  GTEST_SKIP() << message;
}

int test_expect_status(const char *file, int line, const char *call, rondo_status expected, rondo_status status) {
  if (status == expected) return 1;
  fail(file, line,
       std::string(call) + " gave " + rondo_status_name(status) + ", not " + rondo_status_name(expected) +
           "; the last sentence is \"" + rondo_last_error() + "\"");
  return 0;
}

int test_expect_ratio(const char *file, int line, double ratio, const char *text, ...) {
  va_list arguments;
  va_start(arguments, text);
  std::string what = format(text, arguments);
  va_end(arguments);
  {
    std::lock_guard<std::mutex> held(lock);
    worst &of_suite = ratios[testing::UnitTest::GetInstance()->current_test_info()->test_suite_name()];
    if (!(ratio <= of_suite.ratio) || of_suite.what.empty()) of_suite = {ratio, what + " in " + here()};
  }
  if (ratio <= 1) return 1;
  fail(file, line, what + " is " + std::to_string(ratio) + " times its bound away from the exact result");
  return 0;
}

int main(int argc, char **argv) {
  testing::InitGoogleTest(&argc, argv);
  for (const test_suite *const *suite = test_suites; *suite; suite++) add_suite(*suite);
  printf("RONDO_TEST_SEED=%llu\n", static_cast<unsigned long long>(test_seed()));
  int result = RUN_ALL_TESTS();
  print_ratios();
  return result ? result : verdict();
}

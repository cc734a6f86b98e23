#!/bin/sh
# A conversation with bench_lstm --worker: each line that is said, and what the answer must match.
#   test_worker.sh BENCH_LSTM BACKEND
bench=$1 backend=$2
asked=$(mktemp) && answers=$(mktemp) && wanted=$(mktemp) || exit 1
trap 'rm -f "$asked" "$answers" "$wanted"' EXIT

say() { # LINE PATTERN
  printf '%s\n' "$1" >>"$asked"
  printf '%s\n' "$2" >>"$wanted"
}
lstm='"cell":"lstm","timesteps":3,"batch":2,"input":5'
time='[0-9.]+(e-[0-9]+)?'
three="^\{\"seconds\":\[$time,$time,$time\]\}\$"

all='"hidden":4,"layers":1,"directions":1,"precision":"f32","training":0,"seconds":0,"threads":1'
say "{$lstm,$all}" "$three"
say "{$lstm, \"hidden\": 4, \"seconds\": 0}" "$three"
say "{$lstm,\"hidden\":4,\"layers\":2,\"seconds\":0,\"threads\":2}" "$three"
say "{$lstm,\"hidden\":4,\"seconds\":0.5,\"unknown\":\"member\"}" "^\{\"seconds\":\[($time,){3,}$time\]\}\$"
say '{"cell":"gru","timesteps":3,"batch":2,"input":5,"hidden":4,"seconds":0}' "$three"
say '{"cell":"rnn","timesteps":3,"batch":2,"input":5,"hidden":4,"directions":2,"layers":2,"seconds":0}' "$three"
say '{"cell":"cnn","timesteps":3,"batch":2,"input":5,"hidden":4,"seconds":0}' '^\{"error":"cell cnn is not .*"\}$'
say "{$lstm,\"hidden\":4,\"directions\":2,\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":4,\"directions\":3,\"seconds\":0}" '^\{"error":"directions must be .*"\}$'
say "{$lstm,\"hidden\":4,\"training\":1,\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":4,\"training\":1,\"layers\":2,\"directions\":2,\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":4,\"training\":2,\"seconds\":0}" '^\{"error":"training must be .*"\}$'
say "{$lstm,\"hidden\":4,\"precision\":\"bf16\",\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":4,\"precision\":\"f16\",\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":4,\"precision\":\"bf16\",\"training\":1,\"seconds\":0}" '^\{"error":".*BF16 with training.*"\}$'
int8=$three
case $backend in cuda*) int8='^\{"error":".*INT8.*"\}$' ;; esac
say "{$lstm,\"hidden\":4,\"precision\":\"int8\",\"seconds\":0}" "$int8"
say "{$lstm,\"hidden\":4,\"precision\":\"f8\",\"seconds\":0}" '^\{"error":"precision f8 is not offered, .*"\}$'
say "{$lstm,\"hidden\":4,\"lengths\":\"uniform\",\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":4,\"lengths\":\"uniform\",\"training\":1,\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":4,\"lengths\":\"some\",\"seconds\":0}" '^\{"error":"lengths some is not full or uniform"\}$'
say "{$lstm,\"hidden\":4,\"lengths\":{\"of\":\"all\"},\"seconds\":0}" "$three"
say "{$lstm,\"hidden\":0,\"seconds\":0}" '^\{"error":"hidden must be .*"\}$'
say "{$lstm,\"hidden\":4}" '^\{"error":"seconds must be .*"\}$'
say "{$lstm,\"hidden\":[4],\"seconds\":0}" '^\{"error":".*"\}$'
say 'no JSON at all' '^\{"error":"not a JSON object"\}$'
say "{\"cell\":\"$(printf '%05000d' 0)\"}" '^\{"error":"the line is too long"\}$'
say "{$lstm,\"hidden\":4,\"seconds\":0}" "$three"

"$bench" --worker --backend "$backend" <"$asked" >"$answers" || { echo "FAILED: exit status $?"; exit 1; }
if [ "$(wc -l <"$answers")" -ne "$(wc -l <"$wanted")" ]; then
  echo "FAILED: $(wc -l <"$answers") answers to $(wc -l <"$wanted") lines"
  exit 1
fi
line=0 failed=0
while IFS= read -r pattern; do
  line=$((line + 1))
  answer=$(sed -n "${line}p" "$answers")
  printf '%s\n' "$answer" | grep -Eq -e "$pattern" && continue
  echo "FAILED: line $line: $answer does not match $pattern"
  failed=1
done <"$wanted"
exit $failed

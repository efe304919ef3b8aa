#!/bin/sh
# Gate one bundle on one device, for any CI. All is said by environment variables, so that no value meets a shell's parser:
#   SEATRIAL_CANDIDATE  bundle folder to judge (needed unless SEATRIAL_POLICY says)
#   SEATRIAL_DEVICE     name of the device in the inventory (as above)
#   SEATRIAL_BASELINE   bundle to run beside it      SEATRIAL_BUDGETS  file of limits
#   SEATRIAL_POLICY     gate.yaml                    SEATRIAL_DEVICES  inventory file
#   SEATRIAL_OUT        folder for trial and reports [seatrial-out]
#   SEATRIAL_OPTIONS    further options of `seatrial gate`, one a line, such as --runs=20
#   SEATRIAL_ALLOW      verdicts besides PASS that end with 0, such as INCONCLUSIVE
#   SEATRIAL_DEFER      1: end with 0 and leave the decision to who reads OUT/exit-code
# Ends as `seatrial gate` does: 0 PASS, 1 FAIL, 2 wrong usage, 3 INVALID, 4 INCONCLUSIVE.
set -eu
newline='
'
out=${SEATRIAL_OUT:-seatrial-out}
case "$out$newline${SEATRIAL_ALLOW:-}" in
*"$newline"*"$newline"*) echo 'gate.sh: SEATRIAL_OUT and SEATRIAL_ALLOW must be one line' >&2; exit 2 ;;
esac
case "$out" in -*) out=./$out ;; esac
for word in $(printf '%s' "${SEATRIAL_ALLOW:-}" | tr -c '[:upper:]' ' '); do
  case "$word" in PASS | FAIL | INVALID | INCONCLUSIVE) ;; *) echo "gate.sh: SEATRIAL_ALLOW: $word is no verdict" >&2; exit 2 ;; esac
done
mkdir -p "$out"
rm -f "$out/exit-code" "$out/verdict.json" "$out/junit.xml" "$out/verdict.md" "$out/verdict.html" "$out/comment.md" "$out/metrics.txt"

set -- --junit="$out/junit.xml" --markdown="$out/verdict.md" --verdict-json="$out/verdict.json" \
  --html="$out/verdict.html" --comment="$out/comment.md" --openmetrics="$out/metrics.txt"
[ -z "${SEATRIAL_POLICY:-}" ] || set -- "$@" --policy="$SEATRIAL_POLICY"
[ -z "${SEATRIAL_DEVICE:-}" ] || set -- "$@" --device="$SEATRIAL_DEVICE"
[ -z "${SEATRIAL_BASELINE:-}" ] || set -- "$@" --baseline="$SEATRIAL_BASELINE"
[ -z "${SEATRIAL_BUDGETS:-}" ] || set -- "$@" --budgets="$SEATRIAL_BUDGETS"
[ -z "${SEATRIAL_DEVICES:-}" ] || set -- "$@" --devices="$SEATRIAL_DEVICES"
if [ -n "${SEATRIAL_POLICY:-}" ]; then set -- "$@" --out="$out/trials"; else set -- "$@" --out="$out/trial.json"; fi
while IFS= read -r option; do
  case "$option" in
  '') ;;
  --*) set -- "$@" "$option" ;;
  *) echo "gate.sh: SEATRIAL_OPTIONS: each line must begin with --: $option" >&2; exit 2 ;;
  esac
done <<END
${SEATRIAL_OPTIONS:-}
END
[ -z "${SEATRIAL_CANDIDATE:-}" ] || set -- "$@" -- "$SEATRIAL_CANDIDATE"

code=0
before=0
summary=${GITHUB_STEP_SUMMARY:-}
[ -z "$summary" ] || [ ! -f "$summary" ] || before=$(wc -c <"$summary")
"${SEATRIAL:-seatrial}" gate "$@" || code=$?
# Without a verdict nothing was judged, whatever the code says: a broken installation ends with 1, --help with 0. A
# program that died by a signal, or was not found, has measured nothing that can be used.
case $code in
2 | 3) ;;
0 | 1 | 4) [ -s "$out/verdict.json" ] || code=3 ;;
*) code=3 ;;
esac
case $code in
0) verdict=PASS ;; 1) verdict=FAIL ;; 2) verdict=USAGE ;; 4) verdict=INCONCLUSIVE ;; *) verdict=INVALID ;;
esac

if [ -n "$summary" ] && { [ ! -f "$summary" ] || [ "$(wc -c <"$summary")" -eq "$before" ]; }; then
  printf '### Seatrial: %s\n\nNo verdict was written; the log of the step says why.\n' "$verdict" >>"$summary"
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  printf 'verdict=%s\nexit-code=%s\nreports=%s\n' "$verdict" "$code" "$out" >>"$GITHUB_OUTPUT"
fi
case " $(printf '%s' "${SEATRIAL_ALLOW:-}" | tr -c '[:upper:]' ' ') " in
*" $verdict "*) echo "gate.sh: $verdict is allowed here" >&2; allowed=0 ;;
*) allowed=$code ;;
esac
printf '%s\n' "$allowed" >"$out/exit-code"
[ "${SEATRIAL_DEFER:-}" = 1 ] || exit "$allowed"

# man.awk - writes the manual page rondo(3) from rondo.h: its first comment is the description, each "/* ---- Title ---"
# begins a section, and declarations stand in it as they are, with their comments.
function verbatim(line) {
  gsub(/\\/, "\\e", line)
  gsub(/-/, "\\-", line)
  print (line ~ /^[.']/ ? "\\&" : "") line
}
function title(line) {
  gsub(/^\/\* -+ | -+ \*\/$/, "", line)
  return toupper(line)
}

BEGIN {
  print ".TH RONDO 3 \"\" \"Rondo " version "\" \"Rondo\""
  print ".SH NAME\nrondo \\- recurrent layers for CUDA GPUs and CPUs"
  print ".SH SYNOPSIS\n.nf\n#include <rondo/rondo.h>\n\ncc \\-c program.c $(pkg\\-config \\-\\-cflags rondo)"
  print "cc program.o $(pkg\\-config \\-\\-libs rondo)\n.fi"
  print ".SH DESCRIPTION\n.nf"
}
NR == 1 { next }
!described && /^ \*\// { described = 1; print ".fi"; next }
!described { sub(/^ \* ?/, ""); if (NR > 2) verbatim($0); next }
/^\/\* -----* / { print ".fi\n.SH " title($0) "\n.nf"; inside = 1; next }
/^#ifdef __cplusplus/ { inside = 0 }
inside { sub(/^RONDO_API /, ""); verbatim($0) }
END { print ".fi" }

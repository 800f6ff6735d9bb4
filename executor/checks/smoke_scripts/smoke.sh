# Runs inside the image: prints the checks as JSON.
if [ "$(type -t cronium_input)" = function ]; then helper=; else helper="the function cronium_input is missing"; fi
files=$(find / -xdev -type f \( -perm -4000 -o -perm -2000 \) 2>/dev/null | sort | head -n 5 | tr '\n' ' ')
case $files in *[\"\\]*) files="one with a name that can't be shown" ;; esac
row() { printf '{"name": "%s", "passed": %s, "found": "%s"}' "$1" "$([ -z "$2" ] && echo true || echo false)" "$2"; }
echo "[$(row helper "$helper"), $(row setuid "${files:+setuid or setgid files: $files}")]"

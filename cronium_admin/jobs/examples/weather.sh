# Reads the run's input, shows its work in colours, and answers with an output.
# Try "Run" with another input, such as {"city": "Lima", "days": 7}.
set -euo pipefail

input=$(cronium_input)
echo "Input: $input"

# The image has no jq; a pattern is enough for one field.
city=Oslo days=5
[[ $input =~ \"city\":\ *\"([^\"]*)\" ]] && city=${BASH_REMATCH[1]}
[[ $input =~ \"days\":\ *([0-9]+) ]] && days=${BASH_REMATCH[1]}
[ "$days" -le 14 ] || { echo "At most 14 days are forecast." >&2; exit 2; }

green=$'\e[32m' yellow=$'\e[33m' blue=$'\e[34m' bold=$'\e[1m' off=$'\e[0m'
warmest=-99
echo "${bold}An invented forecast for $city${off}"
for ((day = 1; day <= days; day++)); do
  degrees=$((RANDOM % 30 - 4))
  if ((degrees > 20)); then colour=$yellow; elif ((degrees > 5)); then colour=$green; else colour=$blue; fi
  printf 'day %2d  %s%4d °C%s  ' "$day" "$colour" "$degrees" "$off"
  for ((mark = -4; mark < degrees; mark += 2)); do printf '%s▪%s' "$colour" "$off"; done
  echo
  if ((degrees > warmest)); then warmest=$degrees; fi
  sleep 0.3
done

cronium_output "{\"days\": $days, \"warmest\": $warmest}"
echo "${green}Done.${off} The output is on the run's page."

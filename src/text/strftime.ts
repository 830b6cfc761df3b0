const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** Python's `strftime` for a local time in the C locale; unknown directives stay as they are. */
export function strftime(date: Date, format: string): string {
  return format.replace(/%(-?)([a-zA-Z%])/g, (whole, dash: string, directive: string) => {
    const text = formatDirective(date, directive);
    if (text === null) return whole;
    return dash === "-" ? text.replace(/^[0 ]+(?=\d)/, "") : text;
  });
}

function formatDirective(date: Date, directive: string): string | null {
  const pad = (value: number, length = 2, fill = "0") => String(value).padStart(length, fill);
  const hour12 = date.getHours() % 12 || 12;
  const dayOfYear = () =>
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 0)) / 86_400_000;
  // biome-ignore format: a table
  switch (directive) {
    case "Y": return String(date.getFullYear());
    case "y": return pad(date.getFullYear() % 100);
    case "m": return pad(date.getMonth() + 1);
    case "B": return months[date.getMonth()]!;
    case "b": case "h": return months[date.getMonth()]!.slice(0, 3);
    case "d": return pad(date.getDate());
    case "e": return pad(date.getDate(), 2, " ");
    case "j": return pad(dayOfYear(), 3);
    case "A": return days[date.getDay()]!;
    case "a": return days[date.getDay()]!.slice(0, 3);
    case "w": return String(date.getDay());
    case "u": return String(date.getDay() || 7);
    case "H": return pad(date.getHours());
    case "I": return pad(hour12);
    case "p": return date.getHours() < 12 ? "AM" : "PM";
    case "M": return pad(date.getMinutes());
    case "S": return pad(date.getSeconds());
    case "f": return pad(date.getMilliseconds() * 1000, 6);
    case "F": return strftime(date, "%Y-%m-%d");
    case "T": return strftime(date, "%H:%M:%S");
    case "D": return strftime(date, "%m/%d/%y");
    case "R": return strftime(date, "%H:%M");
    case "%": return "%";
    default: return null;
  }
}

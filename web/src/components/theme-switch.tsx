import { Moon, Sun } from "lucide-react";
import { useState } from "react";
import { Button } from "@/components/ui/button";

/** Changes between the light and the dark theme, and remembers it. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    document.documentElement.dataset.theme = other;
    localStorage.setItem("theme", other);
    setTheme(other);
  };
  return (
    <Button
      look="quiet"
      small
      className="md:justify-start"
      onClick={change}
      aria-label={`Use the ${other} theme`}
    >
      {theme === "dark" ? <Sun size={16} /> : <Moon size={16} />}
      <span className="hidden md:inline">{other === "dark" ? "Dark" : "Light"} theme</span>
    </Button>
  );
}

import { useEffect, useState } from "react";
import { duration } from "@/lib/format";

/** For how long something has been running: counts the seconds since it was first drawn. */
export function RunningFor() {
  const [begun] = useState(() => Date.now());
  const [now, setNow] = useState(begun);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return <p className="text-muted">running for {duration((now - begun) / 1000)}</p>;
}

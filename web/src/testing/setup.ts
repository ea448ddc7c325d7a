import "@testing-library/jest-dom/vitest";
import { afterEach } from "vitest";

// A component that is still drawn has timers, which would run after its test.
if (typeof document !== "undefined") {
  const { cleanup } = await import("@testing-library/react");
  afterEach(cleanup);
}

import { useEffect, useLayoutEffect, useRef } from "react";

const NEAR_PX = 120;

/** Keeps the end of a growing page in view, unless the user has scrolled away. */
export function useFollow(growing: unknown) {
  const isNear = useRef(true);
  useEffect(() => {
    const look = () => {
      const { scrollHeight } = document.documentElement;
      isNear.current = window.innerHeight + window.scrollY > scrollHeight - NEAR_PX;
    };
    window.addEventListener("scroll", look, { passive: true });
    return () => window.removeEventListener("scroll", look);
  }, []);
  useLayoutEffect(() => {
    if (growing && isNear.current) window.scrollTo(0, document.documentElement.scrollHeight);
  }, [growing]);
  return () => {
    isNear.current = true;
  };
}

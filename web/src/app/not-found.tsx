import { Link } from "@tanstack/react-router";
import { Page } from "@/components/page";

export function NotFound() {
  return (
    <Page title="No such page">
      <p>
        Nothing is at this address. <Link to="/">Go to Home</Link>.
      </p>
    </Page>
  );
}

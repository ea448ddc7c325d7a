// The API reference at /docs: Swagger UI with this server's OpenAPI document. A separate page: it
// shares no code with the application, so it does not count in the application's size budgets.
import "swagger-ui-dist/swagger-ui.css";
import "./reference.css";
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";

// Set by theme.js, which both pages run before they are drawn.
const { dataset, classList } = document.documentElement;
classList.toggle("dark-mode", dataset.theme === "dark");

const nothing = () => () => null;

SwaggerUI({
  dom_id: "#reference",
  url: "/openapi.json",
  deepLinking: true,
  docExpansion: "list",
  // Each operation's `x-scope`.
  showExtensions: true,
  // An example would be random text if a field has a pattern.
  defaultModelRendering: "model",
  defaultModelExpandDepth: 2,
  // Read only: it sends no requests and needs no key.
  supportedSubmitMethods: [],
  plugins: [{ wrapComponents: { authorizeBtn: nothing, authorizeOperationBtn: nothing } }],
  // By default a service on another host validates the document.
  validatorUrl: null,
});

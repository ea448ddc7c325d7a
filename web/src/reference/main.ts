// The API reference at /docs: Swagger UI over the OpenAPI document that this server gives of
// itself. A page of its own: it shares no code with the application, whose budgets it leaves alone.
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
  // An example would be made of random text where a field has a pattern.
  defaultModelRendering: "model",
  defaultModelExpandDepth: 2,
  // A reference to read: no request is sent from here, and no key is asked for.
  supportedSubmitMethods: [],
  plugins: [{ wrapComponents: { authorizeBtn: nothing, authorizeOperationBtn: nothing } }],
  // By default a service of another host checks the document.
  validatorUrl: null,
});

// The package has no types; these are the parts that are used.
declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  export default function SwaggerUI(options: {
    dom_id: string;
    url: string;
    deepLinking: boolean;
    docExpansion: "list" | "full" | "none";
    showExtensions: boolean;
    defaultModelRendering: "example" | "model";
    defaultModelExpandDepth: number;
    supportedSubmitMethods: string[];
    plugins: { wrapComponents: Record<string, () => () => null> }[];
    validatorUrl: string | null;
  }): void;
}

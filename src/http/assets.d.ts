/** Files of `swagger-ui-dist` that are imported as files: the value is a path, inside the executable where compiled. */
declare module "swagger-ui-dist/*" {
  const path: string;
  export default path;
}

export const aliased = "an alias";

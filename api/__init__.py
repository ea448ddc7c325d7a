"""HTTP only: routes, schemas, errors as OpenAI spells them. Knows services, never torch."""

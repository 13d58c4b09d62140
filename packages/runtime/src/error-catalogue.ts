import type { ErrorCatalogue } from './errors.ts'

/** Codes that any service may show: start-up, shutdown and the HTTP edge. */
export const catalogue = {
  CONFIG_INVALID: {
    summary:
      'The configuration has faults; every one of them is listed with its value and what was expected.',
    nextCommand: 'correct the listed settings and start again; --help prints every setting',
  },
  STOP_TIMED_OUT: {
    summary: 'An orderly stop took longer than its limit; the process ended without finishing it.',
    nextCommand: 'start the service again; it resumes from its durable state',
  },
  INVALID_REQUEST: {
    summary: 'The HTTP request does not match the route’s schema.',
    nextCommand: 'compare the request with GET /openapi.json',
  },
  NOT_FOUND: {
    summary: 'There is no such route or thing.',
    nextCommand: 'GET /openapi.json lists every route',
  },
  INTERNAL: {
    summary: 'The request failed for a reason the service has no code for; its log has the whole error.',
    nextCommand: 'read the service log at the time of the request',
  },
} as const satisfies ErrorCatalogue

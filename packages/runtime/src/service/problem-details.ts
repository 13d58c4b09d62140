import { STATUS_CODES } from 'node:http'
import { catalogue } from '../error-catalogue.ts'
import { Fault } from '../errors.ts'

/** RFC 9457 problem details, with the stable code and what to do next. */
export interface ProblemDetails {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly nextCommand: string
  readonly details?: Readonly<Record<string, unknown>>
}

export const problemContentType = 'application/problem+json'

/** JSON Schema of a problem, for the OpenAPI description. */
export const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'nextCommand'],
  properties: {
    type: { type: 'string' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string' },
    nextCommand: { type: 'string' },
    details: { type: 'object', additionalProperties: true },
  },
} as const

/** The problems a route answers, by status, as its OpenAPI description lists them. */
export function problemResponses(
  why: Readonly<Record<number, string>>,
): Readonly<Record<string, { readonly description: string; readonly content: object }>> {
  const content = { [problemContentType]: { schema: problemSchema } }
  return Object.fromEntries(
    Object.entries(why).map(([status, description]) => [status, { description, content }]),
  )
}

interface ProblemOptions {
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly nextCommand: string
  readonly details?: Readonly<Record<string, unknown>>
}

function problem(options: ProblemOptions): ProblemDetails {
  const { status, code, detail, nextCommand, details } = options
  const facts = details === undefined || Object.keys(details).length === 0 ? {} : { details }
  const title = STATUS_CODES[status] ?? 'Error'
  return { type: `urn:blockferry:error:${code}`, title, status, detail, code, nextCommand, ...facts }
}

/**
 * What a client is told about an error. A Fault speaks for itself; a request the framework refused is
 * INVALID_REQUEST; anything else is INTERNAL and shows nothing of its inside.
 */
export function problemOf(error: unknown, statusOf: (fault: Fault) => number): ProblemDetails {
  if (error instanceof Fault) {
    const { code, message: detail, nextCommand, details } = error
    return problem({ status: statusOf(error), code, detail, nextCommand, details })
  }
  const status = refusedStatusOf(error)
  if (status !== null && error instanceof Error) {
    const { nextCommand } = catalogue.INVALID_REQUEST
    return problem({ status, code: 'INVALID_REQUEST', detail: error.message, nextCommand })
  }
  const { summary: detail, nextCommand } = catalogue.INTERNAL
  return problem({ status: 500, code: 'INTERNAL', detail, nextCommand })
}

export function notFoundProblem(method: string, url: string): ProblemDetails {
  const { nextCommand } = catalogue.NOT_FOUND
  return problem({ status: 404, code: 'NOT_FOUND', detail: `no route ${method} ${url}`, nextCommand })
}

/** The 4xx status of an error that the HTTP framework raised about the request itself; else null. */
function refusedStatusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return null
  const { statusCode } = error
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : null
}

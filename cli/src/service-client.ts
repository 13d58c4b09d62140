import { codeOf } from '@blockferry/runtime'
import { fault } from './faults.ts'

/** No answer of a service takes longer. */
export const answerMsMax = 10_000

/** GET as JSON. @throws SERVICE_UNREACHABLE; SERVICE_REFUSED with the problem's own code and next command. */
export async function getJson(url: string): Promise<unknown> {
  const response = await request(url)
  const body: unknown = await response.json()
  if (response.ok) return body
  const problem = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  const code = text(problem['code'], String(response.status))
  throw fault('SERVICE_REFUSED', `${url} answered ${code}: ${text(problem['detail'], response.statusText)}`, {
    nextCommand: text(problem['nextCommand'], ''),
    details: { status: response.status, code },
  })
}

async function request(url: string): Promise<Response> {
  try {
    return await fetch(url, { signal: AbortSignal.timeout(answerMsMax) })
  } catch (cause) {
    const reason = cause instanceof Error && cause.cause !== undefined ? codeOf(cause.cause) : 'no answer'
    throw fault('SERVICE_UNREACHABLE', `${url} does not answer (${reason})`, { cause })
  }
}

function text(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback
}

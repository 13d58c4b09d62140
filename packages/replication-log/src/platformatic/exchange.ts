import { type API, type Connection, ResponseError } from '@platformatic/kafka'
import type { ExchangeName, Exchanges } from '../kafka/exchanges.ts'

/** One entry of the table, by the library's function for one version of the request. */
export interface PlatformaticExchange<Request, Answer> {
  readonly key: number
  readonly version: number
  ask(connection: Connection, request: Request): Promise<Answer>
}

/** The table, or the part of it that one file holds. */
export type PlatformaticExchanges<Names extends ExchangeName = ExchangeName> = {
  readonly [Name in Names]: PlatformaticExchange<Exchanges[Name]['request'], Exchanges[Name]['answer']>
}

/** An entry from the library's function, its arguments and what is read of its response. */
export function exchange<Request, Answer, Arguments extends unknown[], Response>(
  api: API<Arguments, Response>,
  argumentsOf: (request: Request) => [...Arguments],
  answerOf: (response: Response) => Answer,
): PlatformaticExchange<Request, Answer> {
  const ask = async (connection: Connection, request: Request): Promise<Answer> => {
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    api(connection, ...argumentsOf(request), (error: Error | null, response?: Response) => {
      if (error === null) resolve(response as Response)
      // An error code somewhere in the answer: the answer itself is inside.
      else if (error instanceof ResponseError) resolve(error['response'] as Response)
      else reject(error)
    })
    return answerOf(await promise)
  }
  return { key: api.key, version: api.version, ask }
}

/** The only element of an answer to a question about one thing. */
export function only<T>(elements: readonly T[] | undefined): T {
  const element = elements?.[0]
  if (element === undefined) throw new Error('the answer does not name what was asked')
  return element
}

import apiKeys from 'kafkajs/src/protocol/requests/apiKeys.js'
import Decoder from 'kafkajs/src/protocol/decoder.js'
import type Encoder from 'kafkajs/src/protocol/encoder.js'
import type { LibraryApi } from 'kafkajs/src/protocol/requests/index.js'
import type { ExchangeName, Exchanges } from '../kafka/exchanges.ts'

/** Which request of Kafka's, and in which version. */
export interface ApiName {
  readonly api: keyof typeof apiKeys
  readonly version: number
}

/** One request on its way: bytes out, bytes in. */
export interface Transfer<Answer> {
  /** Parts, written one after another. */
  encode(): Promise<readonly Buffer[]>
  decode(payload: Buffer): Promise<Answer>
}

/** One entry of the table. */
export interface KafkajsExchange<Request, Answer> extends ApiName {
  readonly key: number
  begin(request: Request): Transfer<Answer>
}

/** The table, or the part of it that one file holds. */
export type KafkajsExchanges<Names extends ExchangeName = ExchangeName> = {
  readonly [Name in Names]: KafkajsExchange<Exchanges[Name]['request'], Exchanges[Name]['answer']>
}

/**
 * An entry by the library's own encoder and decoder. Its `parse` is left out: that throws away a whole
 * answer for one error code in it.
 */
export function libraryExchange<Request, Answer, Options, Response>(
  { name, by }: { readonly name: ApiName; readonly by: LibraryApi<Options, Response> },
  optionsOf: (request: Request) => Options,
  answerOf: (response: Response) => Answer,
): KafkajsExchange<Request, Answer> {
  const protocol = by.protocol({ version: name.version })
  const begin = (asked: Request): Transfer<Answer> => {
    const { request, response } = protocol(optionsOf(asked))
    return {
      encode: async () => [(await request.encode()).buffer],
      decode: async (payload) => answerOf(await response.decode(payload)),
    }
  }
  return { ...name, key: apiKeys[name.api], begin }
}

/** An entry encoded and decoded here, for a version with tagged fields, which the library does not have. */
export function ownExchange<Request, Answer>(
  name: ApiName,
  encode: (request: Request) => Encoder,
  decode: (decoder: Decoder) => Answer,
): KafkajsExchange<Request, Answer> {
  const begin = (request: Request): Transfer<Answer> => ({
    encode: async () => [encode(request).buffer],
    decode: async (payload) => {
      const decoder = new Decoder(payload)
      // Of the response's header.
      decoder.readTaggedFields()
      return decode(decoder)
    },
  })
  return { ...name, key: apiKeys[name.api], begin }
}

/** The only element of an answer to a question about one thing. */
export function only<T>(elements: readonly T[]): T {
  const [element] = elements
  if (element === undefined) throw new Error('the answer does not name what was asked')
  return element
}

// A container's health: asks the service in it, prints what it answers, ends with 0 or 1.
//
//   node deploy/docker/health.mjs live|ready
//
// live: the process answers. ready: it does its work; the answer says why not. Built-in modules only.
import { get } from 'node:http'

const answerMsMax = 4_000
const what = process.argv[2] ?? 'live'
const [, host = '127.0.0.1', port = '8080'] =
  /^(?:\[?(.*?)\]?):(\d+)$/.exec(process.env.BLOCKFERRY_HTTP_LISTEN ?? '') ?? []
const isEveryAddress = host === '0.0.0.0' || host === '::'
const address = { host: isEveryAddress ? '127.0.0.1' : host, port, path: `/health/${what}` }

const request = get({ ...address, timeout: answerMsMax }, (response) => {
  let text = ''
  response.setEncoding('utf8')
  response.on('data', (chunk) => (text += chunk))
  response.on('end', () => finish(response.statusCode === 200, text))
})
request.on('timeout', () => finish(false, `no answer after ${answerMsMax} ms`))
request.on('error', (error) => finish(false, error.message))

function finish(healthy, text) {
  process.stdout.write(`${text}\n`, () => process.exit(healthy ? 0 : 1))
}

import { parseConfig, runService } from '@blockferry/runtime/service'
import { startMirrorMaker } from './app.ts'
import { options } from './config.ts'

await runService({
  service: 'mirror-maker',
  start: (context) => {
    const config = parseConfig({ service: 'mirror-maker', options, argv: context.argv, env: context.env })
    return startMirrorMaker(config, context)
  },
})

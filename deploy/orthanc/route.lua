-- Auto-route for Orthanc: every CT series goes to Pulmonode once no new image came for
-- StableAge seconds. Results that Pulmonode sends are not CT, so they are never routed back.
--
-- The job's JSON is written by hand: Orthanc 1.10 turns Lua numbers into reals, and its REST
-- API then refuses them as integers.

local MODALITY = 'pulmonode' -- its name in DicomModalities
local OUR_AE_TITLE = 'PULMONODE'

function OnStableSeries(seriesId, tags, metadata)
  if tags['Modality'] ~= 'CT' or metadata['RemoteAET'] == OUR_AE_TITLE then
    return
  end
  local body = '{"Resources":["' .. seriesId .. '"],"Synchronous":false,"Priority":10}'
  print('routing series ' .. seriesId .. ' to ' .. MODALITY)
  RestApiPost('/modalities/' .. MODALITY .. '/store', body)
end

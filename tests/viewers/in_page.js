// What a test asks OHIF's page. The viewer itself puts `services`, `cornerstone` and
// `cornerstoneTools` on the window; nothing here changes what it draws, except the slice.
window.shown = (() => {
  const viewport = () => window.cornerstone?.getRenderingEngines()[0]?.getViewports()[0];
  const instanceOf = imageId => imageId?.match(/instances\/([0-9.]+)/)?.[1] ?? null;
  const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));

  // The visible canvas; CT is grey, so whatever has a colour is overlay.
  const pixels = () => {
    const { canvas } = viewport();
    return {
      width: canvas.width,
      data: canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data,
    };
  };

  return {
    instance: () => instanceOf(viewport()?.getCurrentImageId?.()),

    greys: () => new Set(pixels().data.filter((_, index) => index % 4 === 0)).size,

    goTo: async uid => {
      const shown = viewport();
      await shown.setImageIdIndex(shown.getImageIds().findIndex(id => instanceOf(id) === uid));
      shown.render();
      await frame();
    },

    // Number of coloured pixels and their centroid in the patient, LPS mm.
    overlay: leastColour => {
      const { width, data } = pixels();
      let count = 0;
      let x = 0;
      let y = 0;
      for (let at = 0; at < data.length; at += 4) {
        const [red, green, blue] = [data[at], data[at + 1], data[at + 2]];
        if (Math.max(red, green, blue) - Math.min(red, green, blue) >= leastColour) {
          count += 1;
          x += (at / 4) % width;
          y += Math.floor(at / 4 / width);
        }
      }
      const ratio = window.devicePixelRatio;
      const centre = [(x / count + 0.5) / ratio, (y / count + 0.5) / ratio];
      return { count, centre_lps_mm: count ? Array.from(viewport().canvasToWorld(centre)) : null };
    },

    // The labelmap that the viewer made of a segmentation, slice by slice.
    labels: () =>
      window.services.segmentationService.getSegmentations().map(segmentation => {
        const { imageIds, referencedImageIds } = segmentation.representationData.Labelmap;
        const slices = imageIds.map((id, index) => {
          const voxels = [];
          window.cornerstone.cache
            .getImage(id)
            .voxelManager.getScalarData()
            .forEach((label, at) => label && voxels.push([label, at]));
          return { instance: instanceOf(referencedImageIds[index]), voxels };
        });
        return {
          label: segmentation.label,
          segments: Object.values(segmentation.segments).map(segment => segment.label),
          slices: slices.filter(slice => slice.voxels.length),
        };
      }),

    measurements: () =>
      window.services.measurementService.getMeasurements().map(measurement => ({
        uid: measurement.uid,
        tool: measurement.toolName,
        label: measurement.label,
        instance: measurement.SOPInstanceUID,
        text: measurement.displayText.primary,
      })),

    // Ends of the lines that stand in the picture, LPS mm, by the annotation they belong to.
    lines: () =>
      [...document.querySelectorAll('svg.svg-layer line[data-id]')].map(line => ({
        annotation: line.dataset.id,
        ends_lps_mm: ['1', '2'].map(end =>
          Array.from(
            viewport().canvasToWorld([`x${end}`, `y${end}`].map(name => +line.getAttribute(name)))
          )
        ),
      })),

    words: () => [...document.querySelectorAll('svg.svg-layer tspan')].map(item => item.textContent),
  };
})();
